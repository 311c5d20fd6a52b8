// What bounds the scheduler.
#ifndef TRAMONTANE_COORDINATOR_SCHEDULER_OPTIONS_H_
#define TRAMONTANE_COORDINATOR_SCHEDULER_OPTIONS_H_

#include <cstdint>
#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tramontane {

struct SchedulerOptions {
  int max_step_tokens = 512;      // rows of one step; at most the attention worker's own limit
  int max_running_requests = 64;  // that one attention worker runs at once
  // Beyond those that the workers which serve, or did a moment ago, could run at once; 0: none
  // waits.
  int max_waiting_requests = 256;
  // A worker that has not served for less than this is taken to be back soon.
  absl::Duration moment_away = absl::Seconds(5);
  absl::Duration queue_timeout = absl::Seconds(60);  // of waiting to run; zero: no limit
  // Tokens that a client may lag behind before its sequence pauses, and for how long it may pause.
  int64_t stream_capacity_tokens = 4096;
  absl::Duration slow_client_timeout = absl::Seconds(60);
  std::function<absl::Time()> clock = absl::Now;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SCHEDULER_OPTIONS_H_
