// Ctrl-C, handed to whatever is running.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_INTERRUPTION_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_INTERRUPTION_H_

#include <functional>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// Raised once, by any thread; one listener at a time is told. Thread-safe.
class Interruption {
 public:
  void Raise() {
    const std::lock_guard<std::mutex> lock(mutex_);
    raised_ = true;
    if (listener_ != nullptr) listener_();
  }

  bool raised() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return raised_;
  }

  // Told for as long as the guard lives; at once, in this thread, where it is raised already. The
  // listener may not call back.
  class Listening {
   public:
    Listening(Interruption& interruption, std::function<void()> listener)
        : interruption_(interruption) {
      const std::lock_guard<std::mutex> lock(interruption_.mutex_);
      interruption_.listener_ = std::move(listener);
      if (interruption_.raised_) interruption_.listener_();
    }
    ~Listening() {
      const std::lock_guard<std::mutex> lock(interruption_.mutex_);
      interruption_.listener_ = nullptr;
    }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

   private:
    Interruption& interruption_;
  };

 private:
  mutable std::mutex mutex_;
  bool raised_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> listener_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_INTERRUPTION_H_
