// Runs routed rows through hosted experts, one batch after another.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/buffer.h"

namespace tramontane {

// One batch of one layer. `rows` stay valid until `done` has returned.
struct ExpertTask {
  int layer = 0;
  DType row_dtype = DType::kBF16;
  std::vector<const std::byte*> rows;    // [num_rows] pointers to [hidden_size] of row_dtype
  std::vector<int32_t> expert_ids;       // [num_groups]
  std::vector<int32_t> rows_per_expert;  // [num_groups]
  std::vector<int32_t> row_indices;      // [num_pairs], each in [0, num_rows)
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<const std::atomic<bool>> cancelled;  // null: cannot be cancelled
};

struct ExpertTaskResult {
  std::shared_ptr<const Buffer> rows;  // [num_pairs, hidden_size] of row_dtype
  int64_t num_rows = 0;
  absl::Duration queue;
  absl::Duration compute;
};

struct ExpertExecutorOptions {
  int max_queued_batches = 64;
  int max_batch_rows = 65'536;  // (row, expert) pairs in one task
};

// Counts what the executor did. Calls come from its thread and, for tasks that are refused, from
// the submitting one. The default ignores everything.
class ExpertObserver {
 public:
  virtual ~ExpertObserver() = default;
  virtual void OnRows(int /*layer*/, int /*expert*/, int64_t /*num_rows*/) {}
  virtual void OnBatch(const absl::Status& /*status*/, absl::Duration /*queue*/,
                       absl::Duration /*compute*/) {}
  // Called with the queue locked: must neither block nor call the executor.
  virtual void OnQueueDepth(int /*queued_batches*/) {}
};

// A bounded queue and the one thread that computes. Thread-safe.
class ExpertExecutor {
 public:
  using Done = std::function<void(absl::StatusOr<ExpertTaskResult>)>;

  // `experts` and `observer` (may be null) outlive the executor.
  ExpertExecutor(const HostedExperts* experts, ExpertObserver* observer,
                 const ExpertExecutorOptions& options);
  // Finishes what is queued, then stops.
  ~ExpertExecutor();

  // `done` is called exactly once, from the executor's thread or before Submit returns:
  // NOT_FOUND for an expert that is not hosted, INVALID_ARGUMENT for indices, sizes or dtype that
  // do not fit or a row that is not finite, RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE
  // after Drain, DEADLINE_EXCEEDED or CANCELLED for a task that nobody waits for when its turn
  // comes.
  void Submit(ExpertTask task, Done done);

  // Answers queued tasks whose `cancelled` is set, so that their places are free before their turn.
  void AnswerCancelled();

  // Refuses new tasks and waits until the queued ones are done. Those whose turn has not come by
  // `deadline` are answered with UNAVAILABLE instead, so that the wait ends with the task that is
  // being computed then.
  void Drain(absl::Time deadline = absl::InfiniteFuture());

  int queued_batches() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_
