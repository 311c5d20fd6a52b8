// When every step ends, whatever it waits for.
#ifndef TRAMONTANE_ATTENTION_WORKER_STEP_LIMIT_H_
#define TRAMONTANE_ATTENTION_WORKER_STEP_LIMIT_H_

#include <atomic>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace tramontane {

// The infinite future, until it is set. Thread-safe.
class StepLimit {
 public:
  void Set(absl::Time end) { nanos_.store(absl::ToUnixNanos(end), std::memory_order_relaxed); }
  absl::Time Get() const {
    const int64_t nanos = nanos_.load(std::memory_order_relaxed);
    return nanos == kNone ? absl::InfiniteFuture() : absl::FromUnixNanos(nanos);
  }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  std::atomic<int64_t> nanos_{kNone};
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_STEP_LIMIT_H_
