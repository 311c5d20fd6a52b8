// How long a sequence may wait and run.
#ifndef TRAMONTANE_COORDINATOR_TIME_LIMITS_H_
#define TRAMONTANE_COORDINATOR_TIME_LIMITS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/scheduler_options.h"
#include "coordinator/sequence.h"

namespace tramontane {

absl::Status PastDeadline();  // a request's own
absl::Status ShuttingDown();
// No attention worker is. troubles: why not, of each.
absl::Status NoneIsReady(std::vector<std::string> troubles);

// Says when a sequence must leave at the latest, and why it must. Not thread-safe.
class TimeLimits {
 public:
  explicit TimeLimits(const SchedulerOptions& options) : options_(options) {}

  // All must have left by then.
  void EndBy(absl::Time drain_deadline);
  // Since when no worker takes sequences; the infinite future, as at first, where one does, though
  // it may have no place for one now. True where that is a change.
  bool NoteNoneServes(absl::Time since);

  absl::Time DeadlineOf(const Sequence& sequence) const;  // where it runs
  absl::Time ExpiryOf(const Sequence& sequence) const;    // where it waits
  // Why it must leave now; OK where it may stay. `has_waited`: what it is told where it has waited
  // for a beginning for too long.
  absl::Status ReasonToLeave(const Sequence& sequence, bool waiting, absl::Time now,
                             const std::function<absl::Status()>& has_waited) const;
  // RESOURCE_EXHAUSTED: what that is where workers serve.
  absl::Status HasWaited() const;

 private:
  // Of waiting for a beginning.
  bool LimitsQueueTime(const Sequence& sequence) const;
  // When one that has begun must leave because no worker serves.
  absl::Time EndOfPatience(const Sequence& sequence) const;
  absl::Status ReasonToWaitNoMore(const Sequence& sequence, absl::Time now,
                                  const std::function<absl::Status()>& has_waited) const;

  const SchedulerOptions options_;
  absl::Time drain_deadline_ = absl::InfiniteFuture();
  absl::Time none_serves_since_ = absl::InfiniteFuture();
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TIME_LIMITS_H_
