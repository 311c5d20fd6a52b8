#include "attention_worker/attention_sequence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {

namespace {

// The tokens that the prefix cache may be asked for.
std::span<const int32_t> Cacheable(const SequenceSpec& spec) {
  const int count = std::clamp(spec.max_cached_tokens, 0, static_cast<int>(spec.token_ids.size()));
  return std::span(spec.token_ids).first(static_cast<size_t>(count));
}

}  // namespace

AttentionSequence::AttentionSequence(SequenceSpec spec, KvBlockPool* pool, int vocab_size)
    : spec_(std::move(spec)), vocab_size_(vocab_size), pages_(pool, Cacheable(spec_)) {
  const std::vector<int32_t> token_ids = std::exchange(spec_.token_ids, {});
  if (spec_.sampling.repetition_penalty == 1.0f) return;
  seen_.resize(static_cast<size_t>(vocab_size));
  AddDistinct(std::span(token_ids).first(static_cast<size_t>(tokens_run())), seen_, distinct_);
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
  if (chunk.first_position != tokens_run()) {
    return absl::FailedPreconditionError(absl::StrCat(sequence, "expected position ", tokens_run(),
                                                      " next, found ", chunk.first_position));
  }
  const auto left = static_cast<size_t>(spec_.max_total_tokens - tokens_run());
  if (chunk.token_ids.size() > left) {
    return absl::FailedPreconditionError(
        absl::StrCat(sequence, "expected at most ", spec_.max_total_tokens, " tokens, has run ",
                     tokens_run(), "; found ", chunk.token_ids.size(), " more"));
  }
  return absl::OkStatus();
}

bool AttentionSequence::MakeRoom(const SequenceChunk& chunk) {
  return pages_.Extend(pages_.num_tokens() + static_cast<int64_t>(chunk.token_ids.size()));
}

void AttentionSequence::Advance(const SequenceChunk& chunk) {
  pages_.Fill(chunk.token_ids);
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
