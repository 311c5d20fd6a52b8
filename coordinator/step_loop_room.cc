// The room that sequences have in the KV cache of a step loop's worker, and make for each other.
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "coordinator/step_loop.h"

namespace tramontane {

absl::StatusOr<bool> StepLoop::TryAdmit(Sequence& sequence) {
  // What it needs and what it may get both change with who runs here.
  const auto spare = [this] { return AttainableBlocks() - static_cast<int64_t>(running_.size()); };
  if (sequence.id() == roomless_id_ && !running_.empty() && spare() <= roomless_blocks_) {
    return false;
  }
  const absl::StatusOr<int> cached = attention_->AddSequence(sequence.Spec());
  if (!cached.ok()) return cached.status();
  const KvCacheUsage usage = attention_->kv_cache_usage();
  const int64_t own = usage.BlocksFor(sequence.num_tokens()) - usage.BlocksFor(*cached);
  const auto needed = [&] {
    // Beside its own blocks, one for the next token of each: else it is preempted at once. Alone,
    // anything that the worker accepts has room.
    return running_.empty() ? 0 : own + static_cast<int64_t>(running_.size());
  };
  const bool attainable = needed() <= AttainableBlocks();
  const auto paused = [](const Sequence& other) { return other.stream().full(); };
  while (attainable && needed() > UncommittedBlocks() && PreemptLast(paused)) {
  }
  if (needed() > UncommittedBlocks()) {
    attention_->ReleaseSequence(sequence.id());
    roomless_id_ = sequence.id();
    roomless_blocks_ = spare();
    return false;
  }
  sequence.OnAdmitted(*cached);
  observer_->OnAdmitted(sequence.num_tokens(), *cached);
  return true;
}

int64_t StepLoop::UncommittedBlocks() const {
  const KvCacheUsage usage = attention_->kv_cache_usage();
  int64_t blocks = usage.num_free_blocks;
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    blocks -= usage.BlocksFor(sequence->num_tokens()) - usage.BlocksFor(sequence->rows_run());
  }
  return blocks;
}

int64_t StepLoop::AttainableBlocks() const {
  const KvCacheUsage usage = attention_->kv_cache_usage();
  int64_t blocks = UncommittedBlocks();
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    // With the one for its next token.
    if (sequence->stream().full()) blocks += usage.BlocksFor(sequence->num_tokens()) + 1;
  }
  return blocks;
}

int StepLoop::MakeRoom(const Sequence& sequence, int rows, int64_t& free_blocks) {
  const KvCacheUsage usage = attention_->kv_cache_usage();
  rows = std::min(rows, sequence.num_tokens() - sequence.rows_run());
  const int64_t held = usage.BlocksFor(sequence.rows_run());
  const int64_t needed = usage.BlocksFor(sequence.rows_run() + rows) - held;
  while (needed > free_blocks) {
    const int64_t before = attention_->kv_cache_usage().num_free_blocks;
    if (!PreemptFor(sequence)) break;
    free_blocks += attention_->kv_cache_usage().num_free_blocks - before;
  }
  const int64_t granted = std::min(needed, free_blocks);
  free_blocks -= granted;
  return static_cast<int>(
      std::min<int64_t>(rows, (held + granted) * usage.block_size - sequence.rows_run()));
}

bool StepLoop::PreemptFor(const Sequence& sequence) {
  return PreemptLast([&sequence](const Sequence& other) {
    return &other != &sequence &&
           (sequence.precedence() < other.precedence() || other.stalled_since.has_value());
  });
}

bool StepLoop::PreemptLast(const std::function<bool(const Sequence&)>& may_go) {
  // A worker that is lost has no blocks, whoever gives up theirs.
  if (attention_->incarnation() != incarnation_) return false;
  const auto last = std::find_if(running_.rbegin(), running_.rend(),
                                 [&](const auto& sequence) { return may_go(*sequence); });
  if (last == running_.rend()) return false;
  std::unique_ptr<Sequence> preempted = Remove(**last);
  preempted->OnPreempted();
  observer_->OnPreempted();
  admission_->Return(std::move(preempted));
  return true;
}

}  // namespace tramontane
