// Log-probabilities of tokens: the model's softmax, before any sampling parameter.
#ifndef TRAMONTANE_ATTENTION_WORKER_TOKEN_LOGPROBS_H_
#define TRAMONTANE_ATTENTION_WORKER_TOKEN_LOGPROBS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "attention_worker/attention_client.h"

namespace tramontane {

// With scratch memory that is reused from row to row. Not thread-safe.
class TokenLogprobs {
 public:
  explicit TokenLogprobs(int vocab_size);

  // Takes the logits of a row [vocab_size], finite, which stay valid while it is asked about.
  // Summed in float64, in order of id.
  void SetRow(std::span<const float> logits);

  // The token's log-probability and the `num_top` likeliest (at most vocab_size; equal ones by id).
  TokenLogprob Of(int32_t token_id, int num_top);

  static int64_t ScratchBytes(int vocab_size) {
    return int64_t{vocab_size} * static_cast<int64_t>(sizeof(int32_t));
  }

 private:
  std::span<const float> logits_;
  double log_sum_exp_ = 0.0;
  std::vector<int32_t> ids_;  // [vocab_size] scratch
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_TOKEN_LOGPROBS_H_
