// Chooses the next token from a row of logits.
#ifndef TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_
#define TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "attention_worker/sampling_params.h"
#include "kernels/sample_tokens.h"
#include "kernels/token_sampler.h"

namespace tramontane {

// A pure function of its arguments, with scratch memory that is reused from call to call. Not
// thread-safe.
class Sampler {
 public:
  explicit Sampler(int vocab_size);

  // The token at `position` of a sequence. `logits` [vocab_size], finite. `seen_token_ids`: those
  // of prompt and completion, each once; only read with a repetition penalty. Equal logits: the
  // lower id is the likelier. The random number depends on seed and position alone, so the same
  // seed gives the same text in any batch and after recomputation.
  int32_t Sample(std::span<const float> logits, const SamplingParams& params,
                 std::span<const int32_t> seen_token_ids, int64_t position);

  static int64_t ScratchBytes(int vocab_size) {
    return int64_t{vocab_size} * static_cast<int64_t>(sizeof(float)) +
           TokenSampler::ScratchBytes(vocab_size);
  }

 private:
  // Repetition penalty and logit bias. Returns `logits` itself where neither applies.
  std::span<const float> Adjust(std::span<const float> logits, const SamplingParams& params,
                                std::span<const int32_t> seen_token_ids);

  std::vector<float> adjusted_;  // [vocab_size]
  TokenSampler tokens_;
};

// What is left to do where logits are not adjusted, for the token at `position`.
TokenSampling SamplingAt(const SamplingParams& params, int64_t position);
// Whether they are.
bool AdjustsLogits(const SamplingParams& params);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_
