// Which rows run in the next step: many sequences, prefill and decode mixed, first come first
// served.
#ifndef TRAMONTANE_COORDINATOR_SCHEDULER_H_
#define TRAMONTANE_COORDINATOR_SCHEDULER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "coordinator/generation_request.h"
#include "coordinator/open_streams.h"
#include "coordinator/scheduler_observer.h"
#include "coordinator/sequence.h"
#include "coordinator/token_stream.h"
#include "coordinator/wake_signal.h"
#include "model/tokenizer.h"

namespace tramontane {

struct SchedulerOptions {
  int max_step_tokens = 512;       // rows of one step; at most the attention worker's own limit
  int max_running_requests = 64;   // sequences that hold KV blocks
  int max_waiting_requests = 256;  // beyond those that could run at once; 0: none waits
  absl::Duration queue_timeout = absl::Seconds(60);  // of waiting to run; zero: no limit
  // Tokens that a client may lag behind before its sequence pauses, and for how long it may pause.
  int64_t stream_capacity_tokens = 4096;
  absl::Duration slow_client_timeout = absl::Seconds(60);
  std::function<absl::Time()> clock = absl::Now;
};

// A bounded waiting queue and the one thread that drives the attention worker. Thread-safe, but for
// RunOnce. A step takes one row of each decoding sequence, then the oldest prompts with what is
// left of max_step_tokens.
class Scheduler {
 public:
  // `attention`, `tokenizer` (may be null) and `observer` outlive the scheduler and are used by the
  // step thread only.
  Scheduler(AttentionClient* attention, const Tokenizer* tokenizer, SchedulerObserver* observer,
            const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Starts the step thread. Tests may drive RunOnce themselves instead.
  void Start();

  // Queues a generation. RESOURCE_EXHAUSTED where the queue is full, DEADLINE_EXCEEDED past
  // `deadline`, UNAVAILABLE once draining. The stream ends with OK, or with:
  //   DEADLINE_EXCEEDED   `deadline` passed
  //   RESOURCE_EXHAUSTED  it waited for queue_timeout, or its client did not read
  //   UNAVAILABLE         an expert has no worker, or the drain's deadline passed
  //   others              as the attention worker's AddSequence and Step
  absl::StatusOr<std::shared_ptr<TokenStream>> Submit(GenerationPlan plan, absl::Time deadline);

  // Refuses new requests from now on and returns when those accepted have ended; the ones that
  // have not by `deadline` end with UNAVAILABLE. Needs the step thread.
  void Drain(absl::Time deadline);

  // Returns when the readers of all accepted streams have let them go, true, or at `deadline`.
  bool AwaitDelivered(absl::Time deadline);

  // One round: frees what was cancelled or has expired, admits, runs one step. False where there
  // was no row to run.
  bool RunOnce();

  int64_t num_running() const { return num_running_.load(); }
  int64_t num_waiting() const;

 private:
  using SequenceList = std::deque<std::unique_ptr<Sequence>>;

  void Loop();
  // Why a sequence must leave now; OK where it may stay.
  absl::Status ReasonToLeave(const Sequence& sequence, bool waiting, absl::Time now,
                             absl::Time drain_deadline) const;
  void DropEnded(absl::Time now);
  void Admit(absl::Time now);
  StepRequest PlanStep(absl::Time now);
  void RunStep(const StepRequest& step);
  void Consume(const StepRequest& step, StepResult result, absl::Time now);
  void FailSequences(const StepRequest& step, const absl::Status& status, absl::Time now);
  // Frees what the sequence holds, ends its stream and counts it.
  void Leave(std::unique_ptr<Sequence> sequence, const absl::Status& status, bool holds_blocks,
             absl::Time now);
  std::unique_ptr<Sequence> RemoveRunning(SequenceId id);
  Sequence* FindRunning(SequenceId id);
  void ReportRound();
  // How long the step thread may sleep with nothing to run.
  absl::Duration IdleTime(absl::Time now) const;
  bool PlaceInQueueLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  AttentionClient* const attention_;
  const Tokenizer* const tokenizer_;
  SchedulerObserver* const observer_;
  const SchedulerOptions options_;
  const std::shared_ptr<WakeSignal> wake_;           // outlived by streams
  const std::shared_ptr<OpenStreams> open_streams_;  // accepted and not yet dropped
  std::atomic<int64_t> num_running_{0};

  SequenceList running_;  // step thread only; oldest first

  mutable std::mutex mutex_;
  std::condition_variable drained_;
  SequenceList waiting_ ABSL_GUARDED_BY(mutex_);  // oldest first
  SequenceId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;  // nothing runs or waits
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SCHEDULER_H_
