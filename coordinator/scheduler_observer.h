// What the scheduler tells whoever counts.
#ifndef TRAMONTANE_COORDINATOR_SCHEDULER_OBSERVER_H_
#define TRAMONTANE_COORDINATOR_SCHEDULER_OBSERVER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"

namespace tramontane {

// Why a request was not run.
enum class Refusal {
  kQueueFull,      // at once
  kWaitTooLong,    // at once: it would wait for longer than it may
  kDisplaced,      // while it waited: one of a higher priority took its place in the full queue
  kUnreadStreams,  // at once: too many clients do not read to the end
  kQueueTimeout,   // after queue_timeout
};

// Calls come from the step threads, one for each attention worker, and OnRefused from any thread;
// implementations return quickly. The default ignores everything.
class SchedulerObserver {
 public:
  virtual ~SchedulerObserver() = default;
  virtual void OnRefused(Refusal /*reason*/) {}
  // A request entered its first step.
  virtual void OnStarted(absl::Duration /*queue*/) {}
  // An attention worker has taken a sequence, for the first time or after a preemption: so many
  // tokens are known of it, and so many of these were in the prefix cache.
  virtual void OnAdmitted(int64_t /*num_tokens*/, int64_t /*cached_tokens*/) {}
  // A sequence gave its KV blocks back for one that came before it.
  virtual void OnPreempted() {}
  // The attention worker of a sequence was lost: it waits to run again elsewhere.
  virtual void OnRequeued() {}
  // A step has run so many prompt tokens, and chosen so many new tokens.
  virtual void OnStepTokens(int64_t /*prompt_tokens*/, int64_t /*new_tokens*/) {}
  virtual void OnFirstToken(absl::Duration /*since_arrival*/) {}
  virtual void OnNextToken(absl::Duration /*since_the_one_before*/) {}
  // A request left, for whatever reason.
  virtual void OnEnded(const absl::Status& /*status*/, absl::Duration /*since_arrival*/) {}
  // What a request of priority 0 that came now would wait for its first step; after every round.
  virtual void OnEstimatedWait(absl::Duration /*wait*/) {}
  // After every round, over all attention workers.
  virtual void OnRound(int64_t /*num_running*/, int64_t /*num_waiting*/,
                       const KvCacheUsage& /*usage*/) {}
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SCHEDULER_OBSERVER_H_
