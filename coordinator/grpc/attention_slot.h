// A place for one attention worker after another, which a step loop drives.
#ifndef TRAMONTANE_COORDINATOR_GRPC_ATTENTION_SLOT_H_
#define TRAMONTANE_COORDINATOR_GRPC_ATTENTION_SLOT_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/grpc_attention_client.h"

namespace tramontane {

// Passes everything on to the worker that has the place; without one it is not ready. A worker that
// is to leave takes no more sequences and keeps those that it has. Driven as AttentionClient says;
// everything else may be called by any thread.
class AttentionSlot final : public AttentionClient {
 public:
  // kv_block_size: tokens, of every worker that may come.
  explicit AttentionSlot(int kv_block_size) : kv_block_size_(kv_block_size) {}

  // Only where the slot is free.
  void Assign(std::shared_ptr<GrpcAttentionClient> client);
  // Whether the worker is to leave: it takes no more sequences then.
  void SetLeaving(bool leaving);
  // Of a worker that leaves: frees the slot where nothing runs on the worker any more, or in any
  // case past `deadline`, by which its sequences count as lost. True where the slot is free then.
  bool FreeIfDone(absl::Time deadline);

  // Null: the slot is free. Whoever holds a client may be the last, and then waits for its end,
  // which calls on_change: not under a lock that on_change takes.
  std::shared_ptr<GrpcAttentionClient> client() const;
  bool free() const;
  bool leaving() const;
  int num_sequences() const;   // that the worker was given and has not been told to release
  absl::Time left_at() const;  // when it began to leave

  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override;
  absl::StatusOr<StepResult> Step(const StepRequest& request) override;
  void EndStepsBy(absl::Time end) override;
  void ReleaseSequence(SequenceId id) override;
  KvCacheUsage kv_cache_usage() const override;
  absl::Status readiness() const override;
  uint64_t incarnation() const override;

 private:
  const int kv_block_size_;

  mutable std::mutex mutex_;
  absl::Time steps_end_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  std::shared_ptr<GrpcAttentionClient> client_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<SequenceId> sequences_ ABSL_GUARDED_BY(mutex_);  // that it was given
  bool leaving_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time left_at_ ABSL_GUARDED_BY(mutex_);
  uint64_t num_changes_ ABSL_GUARDED_BY(mutex_) = 0;  // of client_
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_ATTENTION_SLOT_H_
