// A batch of one layer on its way through the worker, and its answer.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/buffer.h"
#include "model/dtype.h"

namespace tramontane {

// One batch of one layer. `rows` stay valid until its `done` has returned.
struct ExpertTask {
  int layer = 0;
  DType row_dtype = DType::kBF16;
  std::vector<const std::byte*> rows;    // [num_rows] pointers to [hidden_size] of row_dtype
  std::vector<int32_t> expert_ids;       // [num_groups]
  std::vector<int32_t> rows_per_expert;  // [num_groups]
  std::vector<int32_t> row_indices;      // [num_pairs], each in [0, num_rows)
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<const std::atomic<bool>> cancelled;  // null: cannot be cancelled
  // Who sent it: streams share the queue. Tasks of a worker with one sender may leave it at 0.
  uint64_t stream = 0;
};

struct ExpertTaskResult {
  // Begins with [num_rows, hidden_size] of row_dtype; may be longer. Its memory serves other
  // answers once the last owner lets go of it.
  std::shared_ptr<const Buffer> rows;
  int64_t num_rows = 0;    // the task's num_pairs
  absl::Duration queue;    // from receipt to the start of compute
  absl::Duration compute;  // of all tasks that were computed together with this one
};

using ExpertTaskDone = std::function<void(absl::StatusOr<ExpertTaskResult>)>;

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_H_
