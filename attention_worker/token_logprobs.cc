#include "attention_worker/token_logprobs.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace tramontane {

TokenLogprobs::TokenLogprobs(int vocab_size) : ids_(static_cast<size_t>(vocab_size)) {}

void TokenLogprobs::SetRow(std::span<const float> logits) {
  logits_ = logits;
  const double greatest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - greatest);
  log_sum_exp_ = greatest + std::log(sum);
}

TokenLogprob TokenLogprobs::Of(int32_t token_id, int num_top) {
  const auto logprob = [this](int32_t id) {
    return static_cast<float>(logits_[id] - log_sum_exp_);
  };
  TokenLogprob result;
  result.token_id = token_id;
  result.logprob = logprob(token_id);
  const auto count = std::min(static_cast<size_t>(std::max(num_top, 0)), ids_.size());
  if (count == 0) return result;
  std::iota(ids_.begin(), ids_.end(), 0);
  std::partial_sort(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count), ids_.end(),
                    [this](int32_t a, int32_t b) {
                      return logits_[a] > logits_[b] || (logits_[a] == logits_[b] && a < b);
                    });
  result.top.reserve(count);
  for (size_t i = 0; i < count; ++i) result.top.emplace_back(ids_[i], logprob(ids_[i]));
  return result;
}

}  // namespace tramontane
