// A generation in domain terms: as the caller asked for it, and as it will be run.
#ifndef TRAMONTANE_COORDINATOR_GENERATION_REQUEST_H_
#define TRAMONTANE_COORDINATOR_GENERATION_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attention_worker/sampling_params.h"
#include "model/chat_template.h"

namespace tramontane {

// What the caller said, unchecked. Fields, ranges and defaults: proto/inference.proto.
struct GenerationRequest {
  std::optional<std::string> prompt;
  std::vector<uint32_t> prompt_token_ids;
  std::vector<ChatMessage> messages;

  std::optional<uint32_t> max_tokens;
  std::optional<float> temperature;
  std::optional<uint32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::vector<std::pair<uint32_t, float>> logit_bias;
  std::optional<uint64_t> seed;
  int32_t priority = 0;
  uint32_t num_completions = 0;

  std::vector<std::string> stop;
  std::vector<uint32_t> stop_token_ids;
  bool ignore_eos = false;

  bool echo = false;
  bool logprobs = false;
  uint32_t top_logprobs = 0;
  bool prompt_logprobs = false;
  bool routing = false;
};

// What will be run: checked against the model, defaults filled in, the prompt as token ids.
struct GenerationPlan {
  std::vector<int32_t> prompt_token_ids;  // at least one
  int max_tokens = 0;                     // 0 runs the prompt only
  SamplingParams sampling;
  int priority = 0;          // higher runs first
  int num_completions = 1;   // at least 1
  int completion_index = 0;  // which of them a sequence makes

  std::vector<std::string> stop;        // none empty
  std::vector<int32_t> stop_token_ids;  // with the end-of-sequence tokens, unless ignored; sorted

  bool echo = false;
  bool logprobs = false;
  int top_logprobs = 0;
  bool prompt_logprobs = false;
  int routing_choices = 0;  // num_layers * top_k, of the prompt too in completion 0; 0: no routing
};

// The plan of one of the completions of `request`: with a seed of its own, and without details of
// the prompt but in the first.
GenerationPlan PlanOfCompletion(const GenerationPlan& request, int completion_index);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATION_REQUEST_H_
