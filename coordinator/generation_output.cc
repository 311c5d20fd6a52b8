#include "coordinator/generation_output.h"

#include <iterator>

namespace tramontane {
namespace {

template <typename T>
void Append(std::vector<T>&& more, std::vector<T>& to) {
  if (to.empty()) {
    to = std::move(more);
  } else {
    to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
}

void Append(ChunkRouting&& more, ChunkRouting& to) {
  Append(std::move(more.expert_ids), to.expert_ids);
  Append(std::move(more.gating_weights), to.gating_weights);
}

}  // namespace

void AppendOutput(GenerationOutput&& more, GenerationOutput& output) {
  output.completion_index = more.completion_index;
  output.text += more.text;
  Append(std::move(more.token_ids), output.token_ids);
  Append(std::move(more.logprobs), output.logprobs);
  Append(std::move(more.top_logprobs), output.top_logprobs);
  Append(std::move(more.routing), output.routing);
  Append(std::move(more.prompt_token_ids), output.prompt_token_ids);
  Append(std::move(more.prompt_logprobs), output.prompt_logprobs);
  Append(std::move(more.prompt_top_logprobs), output.prompt_top_logprobs);
  Append(std::move(more.prompt_routing), output.prompt_routing);
  if (more.summary.has_value()) output.summary = more.summary;
}

}  // namespace tramontane
