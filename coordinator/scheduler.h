// The serving engine's centre: requests in, streams of tokens out.
#ifndef TRAMONTANE_COORDINATOR_SCHEDULER_H_
#define TRAMONTANE_COORDINATOR_SCHEDULER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "coordinator/admission.h"
#include "coordinator/generation_request.h"
#include "coordinator/open_streams.h"
#include "coordinator/scheduler_observer.h"
#include "coordinator/scheduler_options.h"
#include "coordinator/step_loop.h"
#include "coordinator/stream_events.h"
#include "coordinator/token_stream.h"
#include "model/tokenizer.h"

namespace tramontane {

// One bounded queue before any number of attention workers, each driven by a step loop of its own.
// Continuous batching: sequences join and leave between steps, and every step mixes decode rows and
// chunks of prompts. Thread-safe, but for RunOnce.
class Scheduler {
 public:
  // `attention` (at least one), `tokenizer` (may be null) and `observer` outlive the scheduler; an
  // attention worker is used by one thread only.
  Scheduler(const std::vector<AttentionClient*>& attention, const Tokenizer* tokenizer,
            SchedulerObserver* observer, const SchedulerOptions& options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Another attention worker, which outlives the scheduler, from now on. From any thread.
  void AddAttention(AttentionClient* attention);

  // Starts the step threads, also of workers that are added later. Tests may drive RunOnce
  // themselves instead.
  void Start();

  // Queues the completions of a request, whose outputs share one stream. INVALID_ARGUMENT for more
  // completions than max_running_requests, RESOURCE_EXHAUSTED where the queue has no room for all
  // of them, DEADLINE_EXCEEDED past `deadline`, UNAVAILABLE once draining. The stream ends with OK,
  // or, where one completion fails, with:
  //   DEADLINE_EXCEEDED   `deadline` passed
  //   RESOURCE_EXHAUSTED  it waited for queue_timeout, or its client did not read
  //   UNAVAILABLE         an expert has no worker, the drain's deadline passed, or its attention
  //                       workers were lost too often, or none was there for queue_timeout
  //   others              as the attention worker's AddSequence and Step
  absl::StatusOr<std::shared_ptr<TokenStream>> Submit(GenerationPlan plan, absl::Time deadline);

  // Refuses new requests from now on and returns when those accepted have ended; the ones that
  // have not by `deadline` end with UNAVAILABLE. Needs the step threads.
  void Drain(absl::Time deadline);
  // Returns when the readers of all accepted streams have let them go, true, or at `deadline`.
  bool AwaitDelivered(absl::Time deadline);

  // An attention worker may have become ready, or been lost: the step loops look at once. From any
  // thread.
  void Wake() { events_->WakeAll(); }

  // One round of every step loop. False where there was no row to run.
  bool RunOnce();

  // Of the requests' completions. Those that wait for another one to run their prompt wait.
  int64_t num_running() const;
  int64_t num_waiting() const;

 private:
  void ReportRound() const;
  // They only grow in number, and stay where they are.
  std::vector<StepLoop*> loops() const;

  const Tokenizer* const tokenizer_;
  SchedulerObserver* const observer_;
  const SchedulerOptions options_;
  const std::shared_ptr<StreamEvents> events_;       // outlived by streams
  const std::shared_ptr<OpenStreams> open_streams_;  // accepted and not yet dropped
  std::atomic<SequenceId> next_id_{1};
  Admission admission_;

  mutable std::mutex loops_mutex_;
  bool started_ ABSL_GUARDED_BY(loops_mutex_) = false;
  absl::Time steps_end_ ABSL_GUARDED_BY(loops_mutex_) = absl::InfiniteFuture();  // of the drain
  std::vector<std::unique_ptr<StepLoop>> loops_ ABSL_GUARDED_BY(loops_mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SCHEDULER_H_
