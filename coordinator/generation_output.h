// What a generation yields, piece by piece.
#ifndef TRAMONTANE_COORDINATOR_GENERATION_OUTPUT_H_
#define TRAMONTANE_COORDINATOR_GENERATION_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "attention_worker/attention_client.h"

namespace tramontane {

enum class FinishReason { kStop, kLength };

struct GenerationSummary {
  FinishReason finish_reason = FinishReason::kStop;
  int prompt_tokens = 0;  // in completion 0, so that those of a request add up
  int completion_tokens = 0;
  int cached_prompt_tokens = 0;        // that the prefix cache had when the request started
  absl::Duration queue;                // from arrival to the first step
  absl::Duration time_to_first_token;  // from arrival; zero where there was no new token
  absl::Duration total;                // from arrival
  uint64_t seed = 0;
};

using TopLogprobs = std::vector<std::pair<int32_t, float>>;  // best first

// Everything is to be appended to what came before. Lists are empty where they were not asked for.
struct GenerationOutput {
  int completion_index = 0;               // whose output it is, of the request's completions
  std::string text;                       // whole UTF-8 characters
  std::vector<int32_t> token_ids;         // new tokens
  std::vector<float> logprobs;            // [token_ids.size()], natural logarithm
  std::vector<TopLogprobs> top_logprobs;  // [token_ids.size()]
  ChunkRouting routing;                   // of new tokens that were run: one step behind token_ids

  std::vector<int32_t> prompt_token_ids;
  std::vector<float> prompt_logprobs;            // [prompt_token_ids.size()]; NaN for the first
  std::vector<TopLogprobs> prompt_top_logprobs;  // [prompt_token_ids.size()]; empty for the first
  ChunkRouting prompt_routing;

  std::optional<GenerationSummary> summary;  // in the last output of a finished generation

  // Tokens that this output is about: what bounds its size.
  int64_t num_tokens() const {
    return static_cast<int64_t>(token_ids.size() + prompt_token_ids.size());
  }
  bool empty() const {
    return text.empty() && token_ids.empty() && prompt_token_ids.empty() &&
           routing.expert_ids.empty() && !summary.has_value();
  }
};

// Appends `more` to `output`, of the same completion.
void AppendOutput(GenerationOutput&& more, GenerationOutput& output);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATION_OUTPUT_H_
