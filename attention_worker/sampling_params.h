// How the next token of one sequence is chosen.
#ifndef TRAMONTANE_ATTENTION_WORKER_SAMPLING_PARAMS_H_
#define TRAMONTANE_ATTENTION_WORKER_SAMPLING_PARAMS_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace tramontane {

// Already validated by the coordinator. Applied in this order: repetition penalty, logit bias,
// temperature, top-k, top-p, min-p.
struct SamplingParams {
  float temperature = 1.0f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0f;               // 1: off
  float min_p = 0.0f;               // 0: off
  float repetition_penalty = 1.0f;  // 1: off; over prompt and completion
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_SAMPLING_PARAMS_H_
