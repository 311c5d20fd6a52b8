// Who waits and who runs: what the step loops of all attention workers share.
#ifndef TRAMONTANE_COORDINATOR_ADMISSION_H_
#define TRAMONTANE_COORDINATOR_ADMISSION_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/attention_loads.h"
#include "coordinator/attention_placement.h"
#include "coordinator/drain_rate.h"
#include "coordinator/scheduler_observer.h"
#include "coordinator/scheduler_options.h"
#include "coordinator/sequence.h"
#include "coordinator/stream_events.h"
#include "coordinator/time_limits.h"
#include "coordinator/waiting_queue.h"

namespace tramontane {

// Thread-safe. Sequences enter once (Enter) and leave once (Left); in between they wait here or run
// in a step loop, and may come back.
class Admission {
 public:
  // `events` tells of cancelled streams. kv_block_size: tokens.
  Admission(int kv_block_size, std::shared_ptr<StreamEvents> events,
            const SchedulerOptions& options);

  // Another worker, not ready; its index is the number of those that there were.
  void AddWorker();

  // The completions of one request: all of them wait now, or none. In a full queue they take the
  // places of requests of lower priorities that have not begun, the lowest and last first.
  // RESOURCE_EXHAUSTED with a retry hint and `refusal` where the queue has too little room, or
  // where their turn is not to be expected before their deadline or the queue's; UNAVAILABLE once
  // draining.
  absl::Status Enter(std::vector<std::unique_ptr<Sequence>> completions, Refusal& refusal);

  // What a worker could take now; nothing from the beginning. num_running: with siblings.
  void SetLoad(int worker, const AttentionLoad& load);
  // The loop of `worker` tells of it again before `due`, unless it hangs. Once it is late, what it
  // would be given goes to others that are ready.
  void Expect(int worker, absl::Time due);
  // Whether another worker takes sequences.
  bool OthersServe(int worker) const;
  // The sequence to run next, where it is to run on `worker`; null where there is none. Nobody
  // overtakes a sequence of the same or a higher priority, but for those whose own reader is slow.
  // The other completions of its request that wait come with it, as its siblings, so that one of
  // them runs the prompt.
  std::unique_ptr<Sequence> Next(int worker);
  // The prompt of `sequence`, which runs on `worker`, is in the prefix cache there: its siblings
  // wait for a place beside it.
  void ReleaseSiblings(Sequence& sequence, int worker);
  // It could not run, or was preempted: it waits again, in its old place, and so do its siblings.
  void Return(std::unique_ptr<Sequence> sequence);

  using Ended = std::pair<std::unique_ptr<Sequence>, absl::Status>;
  // Those that must not wait any longer, and why: cancelled, expired, displaced, drained.
  std::vector<Ended> TakeEnded(absl::Time now);
  // Why a sequence must leave now; OK where it may stay.
  absl::Status ReasonToLeave(const Sequence& sequence, bool waiting, absl::Time now) const;
  // When a sequence must leave at the latest, where it runs.
  absl::Time DeadlineOf(const Sequence& sequence) const;
  // A sequence has left for good. `started`: it has run.
  void Left(bool started);

  // What a request of that priority which comes now waits for its first step: those before it, by
  // the rate at which places become free. Absent as long as too little is measured.
  std::optional<absl::Duration> EstimatedWait(int priority) const;

  // Refuses new sequences from now on; those that have not left by `deadline` get UNAVAILABLE.
  void StartDrain(absl::Time deadline);
  // Returns when all have left.
  void AwaitEmpty();
  std::vector<std::unique_ptr<Sequence>> TakeAll();

  int64_t num_waiting() const;
  // When TakeEnded has something to do without an event; may be in the past.
  absl::Time next_expiry() const;

 private:
  // How many of so many places the queue lacks.
  int64_t MissingPlacesLocked(size_t num_completions, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // First completions of requests whose places, all together `missing` or more, one of `priority`
  // may take; none where these are too few.
  std::vector<SequenceId> FindVictimsLocked(int priority, int64_t missing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DisplaceLocked(const std::vector<SequenceId>& victims, int priority, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayBeDisplacedLocked(SequenceId id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status QueueFullLocked(size_t num_completions, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckWaitLocked(const Sequence& sequence, size_t num_completions, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<absl::Duration> EstimateLocked(int priority, size_t num_completions,
                                               absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // For one more refused request: each gets the next place that becomes free, so that they do not
  // come back together.
  absl::Duration TakeRetrySlotLocked(absl::Duration at_least, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteSaturationLocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int ChooseWorkerLocked(const Sequence& sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PushLocked(std::unique_ptr<Sequence> sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // It waits, and its reader is slow.
  void MarkStalledLocked(SequenceId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReasonLocked(const Sequence& sequence, bool waiting, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When those that wait expire, again.
  void UpdateExpiriesLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SchedulerOptions options_;
  const std::shared_ptr<StreamEvents> events_;

  mutable std::mutex mutex_;
  std::condition_variable empty_;
  WaitingQueue waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ended> displaced_ ABSL_GUARDED_BY(mutex_);  // for TakeEnded to take
  AttentionLoads loads_ ABSL_GUARDED_BY(mutex_);
  AttentionPlacement placement_ ABSL_GUARDED_BY(mutex_);
  TimeLimits limits_ ABSL_GUARDED_BY(mutex_);
  DrainRate drain_rate_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_retry_slot_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t num_inside_ ABSL_GUARDED_BY(mutex_) = 0;  // entered and not left
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_ADMISSION_H_
