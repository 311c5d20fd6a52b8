// Ends a process whose device has failed.
#ifndef TRAMONTANE_PROTO_SERVING_FAILURE_WATCH_H_
#define TRAMONTANE_PROTO_SERVING_FAILURE_WATCH_H_

#include <atomic>
#include <functional>

#include "absl/time/time.h"
#include "proto/serving/periodic_task.h"

namespace tramontane {

// After an error a device computes nothing more in this process, so the process drains, as after
// SIGTERM, and ends with kExitDevice: whoever started it starts it anew.
class FailureWatch {
 public:
  // Asks `failed` again and again, from a thread of its own; sends this process SIGTERM once it
  // says yes.
  explicit FailureWatch(std::function<bool()> failed, absl::Duration interval = absl::Seconds(1));

  // kExitDevice where it has; else `exit_code`.
  int ExitCode(int exit_code) const;

 private:
  void Look();

  const std::function<bool()> failed_;
  std::atomic<bool> found_{false};
  PeriodicTask task_;  // last: it uses the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_FAILURE_WATCH_H_
