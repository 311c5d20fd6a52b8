#include "tests/attention_worker/generation.h"

#include <algorithm>
#include <utility>

namespace tramontane {
namespace {

// One generation on its way.
struct Running {
  const GenerationSpec* spec = nullptr;
  Generation* result = nullptr;
  SequenceId id = 0;
  std::vector<int32_t> token_ids;  // prompt and completion
  int tokens_run = 0;

  int prompt_tokens() const { return static_cast<int>(spec->prompt_token_ids.size()); }
  bool finished() const {
    return static_cast<int>(result->token_ids.size()) >= spec->max_tokens &&
           tokens_run >= prompt_tokens();
  }

  SequenceChunk NextChunk(int max_tokens) const {
    SequenceChunk chunk;
    chunk.id = id;
    chunk.first_position = tokens_run;
    const int end = std::min(tokens_run + max_tokens, static_cast<int>(token_ids.size()));
    for (int i = tokens_run; i < end; ++i) {
      chunk.token_ids.push_back(token_ids[i]);
      chunk.target_token_ids.push_back(i + 1 < prompt_tokens() ? token_ids[i + 1] : -1);
    }
    chunk.sample = end >= prompt_tokens() && spec->max_tokens > 0;
    return chunk;
  }

  void Take(const SequenceChunk& chunk, ChunkResult step) {
    tokens_run += static_cast<int>(chunk.token_ids.size());
    if (step.sampled.has_value()) {
      token_ids.push_back(step.sampled->token_id);
      result->token_ids.push_back(step.sampled->token_id);
      result->logprobs.push_back(*std::move(step.sampled));
    }
    std::move(step.targets.begin(), step.targets.end(),
              std::back_inserter(result->prompt_logprobs));
    const ChunkRouting& routing = step.routing;
    result->routing.expert_ids.insert(result->routing.expert_ids.end(), routing.expert_ids.begin(),
                                      routing.expert_ids.end());
    result->routing.gating_weights.insert(result->routing.gating_weights.end(),
                                          routing.gating_weights.begin(),
                                          routing.gating_weights.end());
  }
};

SequenceSpec SpecOf(const GenerationSpec& spec, SequenceId id) {
  SequenceSpec sequence;
  sequence.id = id;
  sequence.sampling = spec.sampling;
  sequence.max_total_tokens = static_cast<int>(spec.prompt_token_ids.size()) + spec.max_tokens;
  sequence.num_top_logprobs = spec.num_top_logprobs;
  sequence.want_logprobs = spec.want_logprobs;
  sequence.want_routing = spec.want_routing;
  return sequence;
}

}  // namespace

absl::StatusOr<std::vector<Generation>> RunGenerations(AttentionClient& worker,
                                                       const std::vector<GenerationSpec>& specs,
                                                       const Schedule& schedule) {
  std::vector<Generation> results(specs.size());
  std::vector<Running> running;
  size_t next = 0;
  for (size_t step = 0; next < specs.size() || !running.empty(); ++step) {
    while (next < specs.size() && next * static_cast<size_t>(schedule.join_every_steps) <= step) {
      const absl::StatusOr<int> added = worker.AddSequence(SpecOf(specs[next], next));
      if (!added.ok()) return added.status();
      running.push_back({&specs[next], &results[next], next, specs[next].prompt_token_ids, 0});
      ++next;
    }
    StepRequest request;
    int rows_left = schedule.max_step_tokens;
    size_t taking_part = 0;
    for (; taking_part < running.size() && rows_left > 0; ++taking_part) {
      request.chunks.push_back(
          running[taking_part].NextChunk(std::min(rows_left, schedule.chunk_tokens)));
      rows_left -= static_cast<int>(request.chunks.back().token_ids.size());
    }
    if (request.chunks.empty()) continue;  // nothing runs until the next one joins
    absl::StatusOr<StepResult> result = worker.Step(request);
    while (result.status().code() == absl::StatusCode::kAborted) result = worker.Step(request);
    if (!result.ok()) return result.status();
    for (size_t i = 0; i < taking_part; ++i) {
      running[i].Take(request.chunks[i], std::move(result->chunks[i]));
      if (running[i].finished()) worker.ReleaseSequence(running[i].id);
    }
    std::erase_if(running, [](const Running& one) { return one.finished(); });
  }
  return results;
}

}  // namespace tramontane
