// Where the answers to a layer's batches come in.
#ifndef TRAMONTANE_ATTENTION_WORKER_ANSWER_BOX_H_
#define TRAMONTANE_ATTENTION_WORKER_ANSWER_BOX_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/arrival_pump.h"
#include "attention_worker/expert_client.h"

namespace tramontane {

struct ArrivedAnswer {
  size_t batch = 0;
  absl::StatusOr<ExpertBatchResult> answer;
};

// Filled by the clients' callbacks from any thread, emptied by the step thread. Thread-safe.
class AnswerBox {
 public:
  // `pump`: brings answers in, not alone; it outlives every TakeUntil. Null: only others do.
  explicit AnswerBox(ArrivalPump* pump = nullptr) : pump_(pump) {}

  // False, and the answer is dropped, once the box is closed.
  bool Put(size_t batch, absl::StatusOr<ExpertBatchResult> answer);

  // Takes all that is there once `count` answers are, or one that failed, or at `until`.
  std::vector<ArrivedAnswer> TakeUntil(size_t count, absl::Time until);

  // Nobody takes any more. Returns what nobody has taken.
  std::vector<ArrivedAnswer> Close();

 private:
  bool Enough() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return failed_ || arrived_.size() >= wanted_;
  }

  // Waits until there may be enough, for `left` at most.
  void Wait(std::unique_lock<std::mutex>& lock, absl::Duration left)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ArrivalPump* const pump_;
  std::atomic<bool> ready_{false};  // Enough(), or was a moment ago

  std::mutex mutex_;
  std::condition_variable enough_;
  std::vector<ArrivedAnswer> arrived_ ABSL_GUARDED_BY(mutex_);
  size_t wanted_ ABSL_GUARDED_BY(mutex_) = 1;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;   // one of those arrived
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;  // the taker is in the pump
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ANSWER_BOX_H_
