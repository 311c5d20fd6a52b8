// The batches that wait for an expert worker's compute.
#ifndef TRAMONTANE_EXPERT_WORKER_TASK_QUEUE_H_
#define TRAMONTANE_EXPERT_WORKER_TASK_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "expert_worker/expert_task.h"

namespace tramontane {

struct QueuedTask {
  ExpertTask task;  // of one of the queue's layers
  ExpertTaskDone done;
  absl::Time received;
};

// A bounded queue, first come first served over all streams, in which tasks of one layer leave
// together. Not thread-safe.
class TaskQueue {
 public:
  // `max_merged_rows`: (row, expert) pairs of tasks that leave together.
  TaskQueue(int num_layers, int max_tasks, int max_merged_rows);

  // Takes the task in. What finds no place in a full queue is given back: the newest task of the
  // stream that has the most, so that a stream that floods the queue keeps nobody else out; the
  // given task itself where its own stream has as good as the most.
  std::optional<QueuedTask> Push(QueuedTask queued);

  // Appends the oldest task, whatever its size, and the oldest others of its layer while all their
  // pairs are at most max_merged_rows. The queue is not empty.
  void TakeMerge(std::vector<QueuedTask>* merge);

  // Appends the tasks whose `cancelled` is set.
  void TakeCancelled(std::vector<QueuedTask>* cancelled);

  bool empty() const { return size_ == 0; }
  int size() const { return size_; }
  // Streams that have a task here.
  int num_streams() const { return static_cast<int>(tasks_of_stream_.size()); }
  // When the oldest task came. The queue is not empty.
  absl::Time oldest_received() const;
  // Whether the oldest task's layer has the pairs of a whole merge. The queue is not empty.
  bool HasFullMerge() const;

 private:
  struct Waiting {
    uint64_t arrival;  // numbers the tasks in the order in which they came
    QueuedTask queued;
  };
  struct Layer {
    std::deque<Waiting> tasks;  // by arrival
    int64_t num_pairs = 0;
  };

  const Layer& OldestLayer() const;
  QueuedTask TakeNewestOf(uint64_t stream);
  void CountIn(const ExpertTask& task);
  void CountOut(const ExpertTask& task);

  const int max_tasks_;
  const int64_t max_merged_rows_;
  std::vector<Layer> layers_;
  int size_ = 0;
  uint64_t next_arrival_ = 0;
  std::map<uint64_t, int> tasks_of_stream_;  // no zeros
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_TASK_QUEUE_H_
