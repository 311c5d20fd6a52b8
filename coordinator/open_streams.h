// How many token streams their readers still hold.
#ifndef TRAMONTANE_COORDINATOR_OPEN_STREAMS_H_
#define TRAMONTANE_COORDINATOR_OPEN_STREAMS_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tramontane {

// Thread-safe.
class OpenStreams {
 public:
  // Counts one more; returns how many there are with it.
  int64_t Add() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return ++count_;
  }

  void Remove() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      --count_;
    }
    none_.notify_all();
  }

  // Returns when there is none, true, or at `deadline` (finite), false.
  bool AwaitNone(absl::Time deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    return none_.wait_for(lock, absl::ToChronoMicroseconds(deadline - absl::Now()),
                          [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_OPEN_STREAMS_H_
