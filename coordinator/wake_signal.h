// How other threads wake the step thread.
#ifndef TRAMONTANE_COORDINATOR_WAKE_SIGNAL_H_
#define TRAMONTANE_COORDINATOR_WAKE_SIGNAL_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace tramontane {

// A flag that one thread waits for and any thread raises; no wake-up is lost. Thread-safe.
class WakeSignal {
 public:
  void Raise() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      raised_ = true;
    }
    condition_.notify_one();
  }

  // Returns when raised (and lowers it), true, or after `timeout`.
  bool WaitFor(absl::Duration timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    condition_.wait_for(lock, absl::ToChronoMicroseconds(timeout), [this] { return raised_; });
    return std::exchange(raised_, false);
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool raised_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_WAKE_SIGNAL_H_
