// How long to wait before the next attempt to connect.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_BACKOFF_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_BACKOFF_H_

#include <algorithm>
#include <random>

#include "absl/time/time.h"

namespace tramontane {

struct ReconnectOptions {
  absl::Duration first_delay = absl::Milliseconds(100);
  absl::Duration max_delay = absl::Seconds(3);  // doubles up to here; each is varied by ±25%
};

// When a worker that was lost is tried again.
struct WorkerReturnOptions {
  ReconnectOptions reconnect;  // nobody answers, or the stream broke
  // It fell silent, was slow or answered wrongly: it costs requests time at every return.
  ReconnectOptions set_aside = {absl::Milliseconds(200), absl::Seconds(60)};
  absl::Duration good_time = absl::Seconds(60);  // served for so long: the delays begin anew
};

// Not thread-safe.
class Backoff {
 public:
  explicit Backoff(const ReconnectOptions& options)
      : options_(options), delay_(options.first_delay), jitter_(std::random_device{}()) {}

  absl::Duration Next() {
    const absl::Duration delay = delay_;
    delay_ = std::min(delay_ * 2, options_.max_delay);
    return delay * std::uniform_real_distribution<double>(0.75, 1.25)(jitter_);
  }
  void Reset() { delay_ = options_.first_delay; }  // after a success

 private:
  const ReconnectOptions options_;
  absl::Duration delay_;
  std::minstd_rand jitter_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_BACKOFF_H_
