#include "attention_worker/token_chooser.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/finite_rows.h"

namespace tramontane {
namespace {

absl::Status NotFinite(SequenceId id) {
  return absl::InternalError(absl::StrCat("sequence ", id,
                                          ": the logits hold an infinity or a NaN; expected "
                                          "finite numbers: are the checkpoint's weights finite?"));
}

// Of the token that follows the chunk's.
int64_t NextPosition(const SequenceChunk& chunk) {
  return chunk.first_position + static_cast<int64_t>(chunk.token_ids.size());
}

}  // namespace

TokenChooser::TokenChooser(int vocab_size, ThreadPool* threads)
    : vocab_size_(vocab_size), threads_(threads) {
  const int num_threads = threads == nullptr ? 1 : threads->num_threads();
  for (int i = 0; i < num_threads; ++i) {
    scratch_.push_back({Sampler(vocab_size), TokenLogprobs(vocab_size)});
  }
}

absl::Status TokenChooser::Choose(const StepRequest& request,
                                  std::span<AttentionSequence* const> sequences,
                                  std::span<const LogitRow> rows, const float* logits,
                                  StepResult& result) {
  std::vector<Choice> choices(rows.size());
  const auto vocab_size = static_cast<size_t>(vocab_size_);
  const auto choose = [&](int64_t begin, int64_t end, int thread) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const auto chunk = static_cast<size_t>(rows[i].chunk);
      choices[i] = ChooseForRow(request.chunks[chunk], *sequences[chunk], rows[i],
                                {logits + i * vocab_size, vocab_size},
                                scratch_[static_cast<size_t>(thread)]);
    }
  };
  const auto num_rows = static_cast<int64_t>(rows.size());
  if (threads_ == nullptr || num_rows == 1) {
    choose(0, num_rows, 0);
  } else {
    threads_->ParallelFor(num_rows, /*grain=*/1, choose);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!choices[i].status.ok()) return choices[i].status;
    ChunkResult& chunk = result.chunks[static_cast<size_t>(rows[i].chunk)];
    if (choices[i].target.has_value()) chunk.targets.push_back(*std::move(choices[i].target));
    if (choices[i].sampled.has_value()) chunk.sampled = std::move(choices[i].sampled);
  }
  return absl::OkStatus();
}

bool TokenChooser::AllPlain(std::span<AttentionSequence* const> sequences,
                            std::span<const LogitRow> rows) {
  return std::all_of(rows.begin(), rows.end(), [&](const LogitRow& row) {
    const SequenceSpec& spec = sequences[static_cast<size_t>(row.chunk)]->spec();
    return row.target_token_id < 0 && !spec.want_logprobs && !AdjustsLogits(spec.sampling);
  });
}

std::vector<TokenSampling> TokenChooser::PlainSampling(
    const StepRequest& request, std::span<AttentionSequence* const> sequences,
    std::span<const LogitRow> rows) {
  std::vector<TokenSampling> sampling;
  bool greedy = true;
  for (const LogitRow& row : rows) {
    const auto chunk = static_cast<size_t>(row.chunk);
    const SamplingParams& params = sequences[chunk]->spec().sampling;
    sampling.push_back(SamplingAt(params, NextPosition(request.chunks[chunk])));
    greedy = greedy && params.temperature == 0.0f;
  }
  if (greedy) sampling.clear();
  return sampling;
}

absl::Status TokenChooser::TakeTokens(const StepRequest& request, std::span<const LogitRow> rows,
                                      const int32_t* token_ids, StepResult& result) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto chunk = static_cast<size_t>(rows[i].chunk);
    if (token_ids[i] < 0) return NotFinite(request.chunks[chunk].id);
    result.chunks[chunk].sampled.emplace();
    result.chunks[chunk].sampled->token_id = token_ids[i];
  }
  return absl::OkStatus();
}

TokenChooser::Choice TokenChooser::ChooseForRow(const SequenceChunk& chunk,
                                                const AttentionSequence& sequence,
                                                const LogitRow& row, std::span<const float> logits,
                                                Scratch& scratch) const {
  Choice choice;
  if (!RowIsFinite(std::as_bytes(logits).data(), vocab_size_, DType::kF32)) {
    choice.status = NotFinite(chunk.id);
    return choice;
  }
  const SequenceSpec& spec = sequence.spec();
  const bool want_logprob = row.sample && spec.want_logprobs;
  if (row.target_token_id >= 0 || want_logprob) scratch.logprobs.SetRow(logits);
  if (row.target_token_id >= 0) {
    choice.target = scratch.logprobs.Of(row.target_token_id, spec.num_top_logprobs);
  }
  if (row.sample) {
    const int32_t token_id = scratch.sampler.Sample(logits, spec.sampling, sequence.SeenWith(chunk),
                                                    NextPosition(chunk));
    choice.sampled.emplace();
    choice.sampled->token_id = token_id;
    if (want_logprob) choice.sampled = scratch.logprobs.Of(token_id, spec.num_top_logprobs);
  }
  return choice;
}

}  // namespace tramontane
