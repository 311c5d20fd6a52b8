#include "coordinator/sequence.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/check.h"

namespace tramontane {
namespace {

// A prompt's details go out in outputs of at most so many tokens, so that no message grows large.
constexpr size_t kPromptTokensPerOutput = 512;

absl::Status CheckResult(const SequenceChunk& chunk, const ChunkResult& result) {
  const auto num_targets = std::count_if(
      chunk.target_token_ids.begin(), chunk.target_token_ids.end(), [](int id) { return id >= 0; });
  if (result.id == chunk.id && result.sampled.has_value() == chunk.sample &&
      result.targets.size() == static_cast<size_t>(num_targets) &&
      result.routing.expert_ids.size() % chunk.token_ids.size() == 0 &&
      result.routing.expert_ids.size() == result.routing.gating_weights.size()) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat(
      "the attention worker's answer does not fit the chunk of sequence ", chunk.id, " with ",
      chunk.token_ids.size(), " rows: expected ", num_targets, " log-probabilities, found ",
      result.targets.size(), " and ", result.routing.expert_ids.size(), " expert ids"));
}

// Rows [begin, end) of a routing of `num_rows` rows.
ChunkRouting RoutingOfRows(const ChunkRouting& routing, size_t num_rows, size_t begin, size_t end) {
  const size_t choices = routing.expert_ids.size() / num_rows;
  ChunkRouting rows;
  rows.expert_ids.assign(routing.expert_ids.begin() + static_cast<ptrdiff_t>(begin * choices),
                         routing.expert_ids.begin() + static_cast<ptrdiff_t>(end * choices));
  rows.gating_weights.assign(
      routing.gating_weights.begin() + static_cast<ptrdiff_t>(begin * choices),
      routing.gating_weights.begin() + static_cast<ptrdiff_t>(end * choices));
  return rows;
}

}  // namespace

Sequence::Sequence(SequenceId id, GenerationPlan plan, const Tokenizer* tokenizer,
                   std::shared_ptr<TokenStream> stream, absl::Time arrival, absl::Time deadline)
    : id_(id),
      plan_(std::move(plan)),
      stream_(std::move(stream)),
      arrival_(arrival),
      deadline_(deadline),
      detokenizer_(tokenizer, plan_.prompt_token_ids, plan_.echo),
      stop_strings_(plan_.stop) {
  TRAMONTANE_CHECK(!plan_.prompt_token_ids.empty());
  // Nothing predicts the first token.
  next_prompt_logprob_.logprob = std::numeric_limits<float>::quiet_NaN();
}

SequenceSpec Sequence::Spec() const {
  SequenceSpec spec;
  spec.id = id_;
  spec.sampling = plan_.sampling;
  spec.max_total_tokens = prompt_tokens() + plan_.max_tokens;
  spec.num_top_logprobs = plan_.top_logprobs;
  spec.want_logprobs = plan_.logprobs;
  spec.want_routing = plan_.routing;
  return spec;
}

SequenceChunk Sequence::NextChunk(int max_rows) const {
  TRAMONTANE_CHECK(max_rows > 0 && !finished_);
  SequenceChunk chunk;
  chunk.id = id_;
  chunk.first_position = rows_run_;
  if (!prefilling()) {
    chunk.token_ids = {last_token_id_};
    chunk.sample = true;
    return chunk;
  }
  const std::vector<int32_t>& prompt = plan_.prompt_token_ids;
  const int end = std::min(rows_run_ + max_rows, prompt_tokens());
  chunk.token_ids.assign(prompt.begin() + rows_run_, prompt.begin() + end);
  chunk.sample = end == prompt_tokens() && plan_.max_tokens > 0;
  if (plan_.prompt_logprobs) {
    // The token after the chunk is the last row's target, so chunks leave no gap.
    for (int next = rows_run_ + 1; next <= end; ++next) {
      chunk.target_token_ids.push_back(next < prompt_tokens() ? prompt[static_cast<size_t>(next)]
                                                              : -1);
    }
  }
  return chunk;
}

void Sequence::MarkStarted(absl::Time now) {
  if (!started_.has_value()) started_ = now;
}

absl::Status Sequence::Consume(const SequenceChunk& chunk, ChunkResult result, absl::Time now) {
  const absl::Status fits = CheckResult(chunk, result);
  if (!fits.ok()) return fits;
  GenerationOutput output;
  if (prefilling()) {
    StreamPrompt(chunk, result);
  } else {
    output.routing = std::move(result.routing);
  }
  rows_run_ += static_cast<int>(chunk.token_ids.size());
  if (result.sampled.has_value()) {
    TakeToken(*result.sampled, now, output);
  } else if (!prefilling()) {
    Finish(FinishReason::kLength, now, output);  // the prompt was all that was asked for
  }
  stream_->Append(std::move(output));
  return absl::OkStatus();
}

void Sequence::StreamPrompt(const SequenceChunk& chunk, ChunkResult& result) {
  if (!wants_prompt_tokens()) return;
  const size_t num_rows = chunk.token_ids.size();
  if (plan_.prompt_logprobs) {
    // Row i predicts token i + 1: each token's log-probability came with the row before it.
    result.targets.insert(result.targets.begin(), std::move(next_prompt_logprob_));
    if (result.targets.size() > num_rows) {
      next_prompt_logprob_ = std::move(result.targets.back());
    }
  }
  for (size_t begin = 0; begin < num_rows; begin += kPromptTokensPerOutput) {
    const size_t end = std::min(begin + kPromptTokensPerOutput, num_rows);
    GenerationOutput output;
    if (begin == 0 && rows_run_ == 0) output.text = detokenizer_.prompt_text();
    output.prompt_token_ids.assign(chunk.token_ids.begin() + static_cast<ptrdiff_t>(begin),
                                   chunk.token_ids.begin() + static_cast<ptrdiff_t>(end));
    output.prompt_routing = RoutingOfRows(result.routing, num_rows, begin, end);
    for (size_t i = begin; plan_.prompt_logprobs && i < end; ++i) {
      output.prompt_logprobs.push_back(result.targets[i].logprob);
      if (plan_.top_logprobs > 0) {
        output.prompt_top_logprobs.push_back(std::move(result.targets[i].top));
      }
    }
    stream_->Append(std::move(output));
  }
}

void Sequence::TakeToken(const TokenLogprob& sampled, absl::Time now, GenerationOutput& output) {
  const int32_t token_id = sampled.token_id;
  last_token_id_ = token_id;
  last_token_time_ = now;
  if (!first_token_time_.has_value()) first_token_time_ = now;
  ++completion_tokens_;
  output.token_ids.push_back(token_id);
  if (plan_.logprobs) {
    output.logprobs.push_back(sampled.logprob);
    if (plan_.top_logprobs > 0) output.top_logprobs.push_back(sampled.top);
  }
  const std::vector<int32_t>& stops = plan_.stop_token_ids;
  if (std::binary_search(stops.begin(), stops.end(), token_id)) {
    Finish(FinishReason::kStop, now, output);
    return;
  }
  output.text += stop_strings_.Feed(detokenizer_.Feed(token_id));
  if (stop_strings_.stopped()) {
    Finish(FinishReason::kStop, now, output);
  } else if (completion_tokens_ == plan_.max_tokens) {
    Finish(FinishReason::kLength, now, output);
  }
}

void Sequence::Finish(FinishReason reason, absl::Time now, GenerationOutput& output) {
  finished_ = true;
  if (!stop_strings_.stopped()) {
    output.text += stop_strings_.Feed(detokenizer_.Finish());
    output.text += stop_strings_.Finish();
  }
  GenerationSummary summary;
  summary.finish_reason = stop_strings_.stopped() ? FinishReason::kStop : reason;
  summary.prompt_tokens = prompt_tokens();
  summary.completion_tokens = completion_tokens_;
  summary.queue = started_.value_or(now) - arrival_;
  if (first_token_time_.has_value()) summary.time_to_first_token = *first_token_time_ - arrival_;
  summary.total = now - arrival_;
  summary.seed = plan_.sampling.seed;
  output.summary = summary;
}

}  // namespace tramontane
