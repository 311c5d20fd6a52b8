#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/reference/operations.h"

namespace tramontane::reference {

void RouteTopK(const RouteTopKArgs& args) {
  std::vector<float> probabilities(static_cast<size_t>(args.num_experts));
  std::vector<int32_t> order(static_cast<size_t>(args.num_experts));
  for (int64_t t = 0; t < args.num_tokens; ++t) {
    const float* logits = args.router_logits + t * args.num_experts;
    const float max_logit = *std::max_element(logits, logits + args.num_experts);
    float sum = 0;
    for (size_t e = 0; e < probabilities.size(); ++e) {
      sum += probabilities[e] = std::exp(logits[e] - max_logit);
    }
    for (float& probability : probabilities) probability /= sum;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return probabilities[static_cast<size_t>(a)] > probabilities[static_cast<size_t>(b)];
    });
    float chosen_sum = 0;
    for (int64_t k = 0; k < args.top_k; ++k) {
      chosen_sum += probabilities[static_cast<size_t>(order[static_cast<size_t>(k)])];
    }
    for (int64_t k = 0; k < args.top_k; ++k) {
      const int32_t expert = order[static_cast<size_t>(k)];
      args.topk_expert_ids[t * args.top_k + k] = expert;
      args.gating_weights[t * args.top_k + k] =
          probabilities[static_cast<size_t>(expert)] / chosen_sum;
    }
  }
}

}  // namespace tramontane::reference
