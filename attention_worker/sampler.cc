#include "attention_worker/sampler.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "attention_worker/philox.h"

namespace tramontane {
namespace {

// A penalty near 0 or a huge bias takes a logit beyond what a float holds; of infinities there is
// no difference to weigh.
float Finite(float logit) {
  using Limits = std::numeric_limits<float>;
  return std::clamp(logit, Limits::lowest(), Limits::max());
}

}  // namespace

bool AdjustsLogits(const SamplingParams& params) {
  return params.repetition_penalty != 1.0f || !params.logit_bias.empty();
}

TokenSampling SamplingAt(const SamplingParams& params, int64_t position) {
  return {.random = RandomAt(params.seed, static_cast<uint64_t>(position)),
          .temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p};
}

Sampler::Sampler(int vocab_size) : tokens_(vocab_size) {
  adjusted_.reserve(static_cast<size_t>(vocab_size));
}

int32_t Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                        std::span<const int32_t> seen_token_ids, int64_t position) {
  return tokens_.Sample(Adjust(logits, params, seen_token_ids), SamplingAt(params, position));
}

std::span<const float> Sampler::Adjust(std::span<const float> logits, const SamplingParams& params,
                                       std::span<const int32_t> seen_token_ids) {
  if (!AdjustsLogits(params)) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  if (params.repetition_penalty != 1.0f) {
    for (const int32_t id : seen_token_ids) {
      float& logit = adjusted_[id];
      logit = Finite(logit > 0.0f ? logit / params.repetition_penalty
                                  : logit * params.repetition_penalty);
    }
  }
  for (const auto& [id, bias] : params.logit_bias) adjusted_[id] = Finite(adjusted_[id] + bias);
  return adjusted_;
}

}  // namespace tramontane
