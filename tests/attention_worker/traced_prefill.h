// A prompt through the model in one step, with everything that its layers showed.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_TRACED_PREFILL_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_TRACED_PREFILL_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "attention_worker/attention_worker.h"

namespace tramontane {

// T tokens, L layers, H hidden size, E experts, K top-k, V vocabulary.
struct TracedPrefill {
  std::vector<float> layer_output;      // [L, T, H]
  std::vector<float> moe_output;        // [L, T, H]
  std::vector<float> router_logits;     // [L, T, E]
  std::vector<int32_t> router_experts;  // [L, T, K]
  std::vector<float> router_weights;    // [L, T, K]
  std::vector<float> logprobs;          // [T, V] natural logarithm of the softmax of the logits
};

absl::StatusOr<TracedPrefill> TracePrefill(AttentionWorker& worker, int vocab_size,
                                           const std::vector<int32_t>& prompt_token_ids);

// log softmax of each row of `logits` [T, V], summed in float64.
std::vector<float> LogSoftmax(std::span<const float> logits, int vocab_size);

// The greatest |actual - expected| of a row over the greatest |expected| of that row: how far off
// an element is on the scale of the vector that it belongs to. [rows]
std::vector<double> RowErrors(std::span<const float> actual, std::span<const float> expected,
                              int64_t row_size);
double LargestRowError(std::span<const float> actual, std::span<const float> expected,
                       int64_t row_size);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_TRACED_PREFILL_H_
