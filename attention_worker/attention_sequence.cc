#include "attention_worker/attention_sequence.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {

AttentionSequence::AttentionSequence(SequenceSpec spec, PageTable pages, int vocab_size)
    : spec_(std::move(spec)), vocab_size_(vocab_size), pages_(std::move(pages)) {
  if (spec_.sampling.repetition_penalty != 1.0f) seen_.resize(static_cast<size_t>(vocab_size));
}

absl::Status AttentionSequence::CheckChunk(const SequenceChunk& chunk) const {
  const std::string sequence = absl::StrCat("sequence ", spec_.id, ": ");
  if (chunk.token_ids.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(sequence, "expected at least one token"));
  }
  for (const int32_t id : chunk.token_ids) {
    if (id < 0 || id >= vocab_size_) {
      return absl::InvalidArgumentError(
          absl::StrCat(sequence, "expected a token id in [0, ", vocab_size_, "), found ", id));
    }
  }
  if (!chunk.target_token_ids.empty() && chunk.target_token_ids.size() != chunk.token_ids.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(sequence, "expected no target tokens or one for each of ",
                     chunk.token_ids.size(), " tokens, found ", chunk.target_token_ids.size()));
  }
  for (const int32_t id : chunk.target_token_ids) {
    if (id < -1 || id >= vocab_size_) {
      return absl::InvalidArgumentError(absl::StrCat(sequence, "expected a target token id in [0, ",
                                                     vocab_size_, ") or -1, found ", id));
    }
  }
  if (chunk.first_position != tokens_run_) {
    return absl::FailedPreconditionError(absl::StrCat(sequence, "expected position ", tokens_run_,
                                                      " next, found ", chunk.first_position));
  }
  const auto left = static_cast<size_t>(spec_.max_total_tokens - tokens_run_);
  if (chunk.token_ids.size() > left) {
    return absl::FailedPreconditionError(absl::StrCat(sequence, "reserved ", spec_.max_total_tokens,
                                                      " tokens and has run ", tokens_run_,
                                                      "; found ", chunk.token_ids.size(), " more"));
  }
  return absl::OkStatus();
}

void AttentionSequence::Advance(const SequenceChunk& chunk) {
  tokens_run_ += static_cast<int>(chunk.token_ids.size());
  if (tracks_seen()) AddDistinct(chunk.token_ids, seen_, distinct_);
}

std::vector<int32_t> AttentionSequence::SeenWith(const SequenceChunk& chunk) const {
  if (!tracks_seen()) return {};
  std::vector<bool> seen = seen_;
  std::vector<int32_t> distinct = distinct_;
  AddDistinct(chunk.token_ids, seen, distinct);
  return distinct;
}

void AttentionSequence::AddDistinct(std::span<const int32_t> token_ids, std::vector<bool>& seen,
                                    std::vector<int32_t>& distinct) {
  for (const int32_t id : token_ids) {
    if (seen[id]) continue;
    seen[id] = true;
    distinct.push_back(id);
  }
}

}  // namespace tramontane
