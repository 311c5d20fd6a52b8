#include "attention_worker/grpc/expert_load.h"

#include <algorithm>
#include <numeric>

#include "model/check.h"

namespace tramontane {

ExpertLoad::ExpertLoad(int num_experts) : tokens_(static_cast<size_t>(num_experts), 0.0) {}

void ExpertLoad::Add(std::span<const int64_t> tokens_per_expert) {
  TRAMONTANE_CHECK(tokens_per_expert.size() == tokens_.size());
  double sum = 0;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    tokens_[i] += static_cast<double>(tokens_per_expert[i]);
    sum += tokens_[i];
  }
  if (sum > kWindow) {
    for (double& tokens : tokens_) tokens /= 2;
  }
}

double ExpertLoad::Imbalance() const {
  const double sum = std::accumulate(tokens_.begin(), tokens_.end(), 0.0);
  if (sum == 0) return 0;
  return *std::max_element(tokens_.begin(), tokens_.end()) * static_cast<double>(tokens_.size()) /
         sum;
}

}  // namespace tramontane
