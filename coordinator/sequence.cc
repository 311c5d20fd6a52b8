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
constexpr int kPromptTokensPerOutput = 512;

// `routing_choices` of each row.
absl::Status CheckResult(const SequenceChunk& chunk, int routing_choices,
                         const ChunkResult& result) {
  const auto num_targets = std::count_if(
      chunk.target_token_ids.begin(), chunk.target_token_ids.end(), [](int id) { return id >= 0; });
  const size_t num_choices = chunk.token_ids.size() * static_cast<size_t>(routing_choices);
  if (result.id == chunk.id && result.sampled.has_value() == chunk.sample &&
      result.targets.size() == static_cast<size_t>(num_targets) &&
      result.routing.expert_ids.size() == num_choices &&
      result.routing.gating_weights.size() == num_choices) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat(
      "the attention worker's answer does not fit the chunk of sequence ", chunk.id, " with ",
      chunk.token_ids.size(), " rows: expected ", num_targets, " log-probabilities and ",
      num_choices, " expert ids with as many weights, found ", result.targets.size(), ", ",
      result.routing.expert_ids.size(), " and ", result.routing.gating_weights.size()));
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
      stream_(std::move(stream)),
      arrival_(arrival),
      deadline_(deadline),
      token_ids_(std::move(plan.prompt_token_ids)),
      prompt_tokens_(static_cast<int>(token_ids_.size())),
      plan_(std::move(plan)),
      detokenizer_(tokenizer, token_ids_, plan_.echo),
      stop_strings_(plan_.stop) {
  TRAMONTANE_CHECK(!token_ids_.empty());
  // Nothing predicts the first token.
  next_prompt_logprob_.logprob = std::numeric_limits<float>::quiet_NaN();
}

SequenceSpec Sequence::Spec() const {
  SequenceSpec spec;
  spec.id = id_;
  spec.sampling = plan_.sampling;
  spec.max_total_tokens = prompt_tokens_ + plan_.max_tokens;
  spec.num_top_logprobs = plan_.top_logprobs;
  spec.want_logprobs = plan_.logprobs;
  spec.want_routing = plan_.routing_choices > 0;
  spec.token_ids = token_ids_;
  // The last row yields the next token; and a row whose details are wanted has to run for them.
  spec.max_cached_tokens = std::min(FirstWantedRow(), num_tokens() - 1);
  return spec;
}

int Sequence::FirstWantedRow() const {
  const bool of_prompt = tells_of_prompt() && (plan_.prompt_logprobs || plan_.routing_choices > 0);
  if (of_prompt && rows_streamed_ < prompt_tokens_) return rows_streamed_;
  return plan_.routing_choices > 0 ? std::max(rows_streamed_, prompt_tokens_) : num_tokens();
}

void Sequence::OnAdmitted(int cached) {
  rows_run_ = cached;
  lost_since_.reset();
  if (!cached_tokens_.has_value()) cached_tokens_ = cached;
}

SequenceChunk Sequence::NextChunk(int max_rows) const {
  TRAMONTANE_CHECK(max_rows > 0 && !finished_);
  SequenceChunk chunk;
  chunk.id = id_;
  chunk.first_position = rows_run_;
  const int end = std::min(rows_run_ + max_rows, num_tokens());
  chunk.token_ids.assign(token_ids_.begin() + rows_run_, token_ids_.begin() + end);
  chunk.sample = end == num_tokens() && plan_.max_tokens > 0;
  if (plan_.prompt_logprobs && rows_run_ < prompt_tokens_) {
    // The token after the chunk is the last row's target, so chunks leave no gap.
    for (int row = rows_run_; row < end; ++row) {
      const bool wanted = row >= rows_streamed_ && row + 1 < prompt_tokens_;
      chunk.target_token_ids.push_back(wanted ? token_ids_[static_cast<size_t>(row) + 1] : -1);
    }
  }
  return chunk;
}

void Sequence::MarkStarted(absl::Time now) {
  if (!started_.has_value()) started_ = now;
}

absl::Status Sequence::Consume(const SequenceChunk& chunk, ChunkResult result, absl::Time now) {
  const absl::Status fits = CheckResult(chunk, plan_.routing_choices, result);
  if (!fits.ok()) return fits;
  const int end = rows_run_ + static_cast<int>(chunk.token_ids.size());
  if (rows_streamed_ < std::min(end, prompt_tokens_)) {
    StreamPrompt(chunk, std::min(end, prompt_tokens_), result);
  }
  GenerationOutput output;
  if (end > rows_streamed_ && end > prompt_tokens_ && plan_.routing_choices > 0) {
    output.routing = RoutingOfRows(result.routing, chunk.token_ids.size(),
                                   static_cast<size_t>(rows_streamed_ - rows_run_),
                                   static_cast<size_t>(end - rows_run_));
    rows_streamed_ = end;
  }
  rows_run_ = end;
  if (result.sampled.has_value()) {
    TakeToken(*result.sampled, now, output);
  } else if (end == num_tokens()) {
    Finish(FinishReason::kLength, now, output);  // the prompt was all that was asked for
  }
  Stream(std::move(output));
  return absl::OkStatus();
}

void Sequence::Stream(GenerationOutput output) {
  output.completion_index = plan_.completion_index;
  stream_->Append(std::move(output));
}

void Sequence::StreamPrompt(const SequenceChunk& chunk, int end, ChunkResult& result) {
  const int begin = std::exchange(rows_streamed_, end);
  if (!wants_prompt_tokens()) {
    if (begin > 0 || !plan_.echo) return;
    GenerationOutput echo;
    echo.text = detokenizer_.prompt_text();
    Stream(std::move(echo));
    return;
  }
  // Rows that the prefix cache had are before the chunk, and then nothing but their tokens is
  // wanted.
  const int num_rows = end - begin;
  if (plan_.prompt_logprobs) {
    // Row i predicts token i + 1: each token's log-probability came with the row before it.
    result.targets.insert(result.targets.begin(), std::move(next_prompt_logprob_));
    if (result.targets.size() > static_cast<size_t>(num_rows)) {
      next_prompt_logprob_ = std::move(result.targets.back());
    }
  }
  for (int first = begin; first < end; first += kPromptTokensPerOutput) {
    const int last = std::min(first + kPromptTokensPerOutput, end);
    GenerationOutput output;
    if (first == 0) output.text = detokenizer_.prompt_text();
    output.prompt_token_ids.assign(token_ids_.begin() + first, token_ids_.begin() + last);
    if (plan_.routing_choices > 0) {
      output.prompt_routing = RoutingOfRows(result.routing, chunk.token_ids.size(),
                                            static_cast<size_t>(first - chunk.first_position),
                                            static_cast<size_t>(last - chunk.first_position));
    }
    for (int i = first; plan_.prompt_logprobs && i < last; ++i) {
      TokenLogprob& target = result.targets[static_cast<size_t>(i - begin)];
      output.prompt_logprobs.push_back(target.logprob);
      if (plan_.top_logprobs > 0) output.prompt_top_logprobs.push_back(std::move(target.top));
    }
    Stream(std::move(output));
  }
}

void Sequence::TakeToken(const TokenLogprob& sampled, absl::Time now, GenerationOutput& output) {
  const int32_t token_id = sampled.token_id;
  token_ids_.push_back(token_id);
  last_token_time_ = now;
  if (!first_token_time_.has_value()) first_token_time_ = now;
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
  } else if (completion_tokens() == plan_.max_tokens) {
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
  summary.completion_tokens = completion_tokens();
  if (tells_of_prompt()) {
    summary.prompt_tokens = prompt_tokens();
    summary.cached_prompt_tokens = cached_tokens_.value_or(0);
  }
  summary.queue = started_.value_or(now) - arrival_;
  if (first_token_time_.has_value()) summary.time_to_first_token = *first_token_time_ - arrival_;
  summary.total = now - arrival_;
  summary.seed = plan_.sampling.seed;
  output.summary = summary;
}

}  // namespace tramontane
