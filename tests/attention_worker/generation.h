// Drives an attention worker the way a scheduler does: prompts in chunks, decode rows between.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_GENERATION_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_GENERATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "attention_worker/attention_client.h"

namespace tramontane {

inline SamplingParams GreedySampling() {
  SamplingParams params;
  params.temperature = 0.0f;
  return params;
}

struct GenerationSpec {
  std::vector<int32_t> prompt_token_ids;
  int max_tokens = 0;  // 0: the prompt only
  SamplingParams sampling = GreedySampling();
  bool want_routing = true;
  int num_top_logprobs = 0;
  bool want_logprobs = true;  // of what is generated
};

struct Generation {
  std::vector<int32_t> token_ids;             // [max_tokens]
  std::vector<TokenLogprob> logprobs;         // [max_tokens]
  std::vector<TokenLogprob> prompt_logprobs;  // [prompt - 1]: of every token but the first
  ChunkRouting routing;                       // of all rows run, in order
};

struct Schedule {
  int chunk_tokens = 1 << 20;  // of a prompt in one step, at most
  int join_every_steps = 0;    // generation i starts at step i * this
  int max_step_tokens = 512;
};

// Runs all of them, together where the schedule has them overlap. The first error of AddSequence or
// Step.
absl::StatusOr<std::vector<Generation>> RunGenerations(AttentionClient& worker,
                                                       const std::vector<GenerationSpec>& specs,
                                                       const Schedule& schedule = {});

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_GENERATION_H_
