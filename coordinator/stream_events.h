// How readers of token streams reach the step threads.
#ifndef TRAMONTANE_COORDINATOR_STREAM_EVENTS_H_
#define TRAMONTANE_COORDINATOR_STREAM_EVENTS_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "attention_worker/attention_client.h"
#include "coordinator/wake_signal.h"

namespace tramontane {

// The sequences whose stream has been cancelled or has room again, since somebody looked.
// Thread-safe; streams may outlive the scheduler, and keep it.
class StreamEvents {
 public:
  void AddLoop() {
    const std::lock_guard<std::mutex> lock(wakes_mutex_);
    wakes_.emplace_back();
  }

  // The `count` sequences from `first` on, of one stream.
  void Note(SequenceId first, int count = 1) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (int i = 0; i < count; ++i) noted_.insert(first + static_cast<SequenceId>(i));
    }
    WakeAll();
  }

  std::unordered_set<SequenceId> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(noted_, {});
  }

  // Of a step loop.
  WakeSignal& wake(int loop) {
    const std::lock_guard<std::mutex> lock(wakes_mutex_);
    return wakes_[static_cast<size_t>(loop)];
  }
  void WakeAll() { WakeAllBut(-1); }
  // A loop that woke itself would never idle.
  void WakeAllBut(int loop) {
    const std::lock_guard<std::mutex> lock(wakes_mutex_);
    for (size_t i = 0; i < wakes_.size(); ++i) {
      if (static_cast<int>(i) != loop) wakes_[i].Raise();
    }
  }

 private:
  std::mutex wakes_mutex_;
  std::deque<WakeSignal> wakes_ ABSL_GUARDED_BY(wakes_mutex_);  // only grows: references stay

  std::mutex mutex_;
  std::unordered_set<SequenceId> noted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_STREAM_EVENTS_H_
