// The loop that drives one attention worker.
#ifndef TRAMONTANE_COORDINATOR_STEP_LOOP_H_
#define TRAMONTANE_COORDINATOR_STEP_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "coordinator/admission.h"
#include "coordinator/scheduler_observer.h"
#include "coordinator/scheduler_options.h"
#include "coordinator/sequence.h"
#include "coordinator/step_pace.h"

namespace tramontane {

// Each round: sequences leave that must, others join, one step runs. A step takes one row of each
// decoding sequence and, with what is left of max_step_tokens, chunks of prompts. KV blocks go to
// who comes first; where they run out, the last to come is preempted: it gives its blocks back,
// waits in its old place and later computes again what it had. So the first always gets on. Used by
// one thread, but for num_running and num_siblings.
class StepLoop {
 public:
  // All outlive the loop. `index`: which worker of `admission` it drives.
  StepLoop(int index, AttentionClient* attention, Admission* admission, StreamEvents* events,
           SchedulerObserver* observer, const SchedulerOptions& options,
           std::function<void()> on_round);
  // Ends what still runs with UNAVAILABLE.
  ~StepLoop();
  StepLoop(const StepLoop&) = delete;
  StepLoop& operator=(const StepLoop&) = delete;

  void Start();  // a thread that runs rounds
  void Stop();   // and its end; once

  // As AttentionClient::EndStepsBy. From any thread.
  void EndStepsBy(absl::Time end) { attention_->EndStepsBy(end); }

  // One round. False where there was no row to run.
  bool RunOnce();

  int num_running() const { return num_running_.load(); }
  // Completions that wait for one that runs to have run their prompt.
  int num_siblings() const { return num_siblings_.load(); }
  KvCacheUsage kv_cache_usage() const { return attention_->kv_cache_usage(); }
  // Ends a sequence that does not run (any more), with its siblings, and counts them.
  void End(std::unique_ptr<Sequence> sequence, const absl::Status& status, absl::Time now);

 private:
  // Rows of a step, and whose they are.
  struct Plan {
    StepRequest request;
    std::vector<Sequence*> sequences;  // of request.chunks
    int num_rows = 0;
  };

  void Loop();
  // Where the attention worker has lost what it was given, all that runs waits again, to be
  // computed again wherever it is taken next; but for what was lost too often.
  void RequeueLost(absl::Time now);
  // `sequence` runs again, on whichever worker takes it, unless that has happened too often.
  void Requeue(const Sequence& sequence, const std::string& reason, absl::Time now);
  void DropEnded(absl::Time now);
  void Admit(absl::Time now);
  // Why it takes no sequence says nothing of the sequence.
  bool IsWorkersFault(const absl::Status& refusal) const;
  // False where the KV cache has too little room for the sequence now, also with the blocks of
  // those that are paused.
  absl::StatusOr<bool> TryAdmit(Sequence& sequence);
  // Its siblings join where nothing is left of the prompt that they could share.
  void ReleaseSiblings(Sequence& sequence);
  // Free KV blocks that no prompt which is being run will need.
  int64_t UncommittedBlocks() const;
  // And those that the paused sequences hold, or would need to go on; at most, as some are shared.
  int64_t AttainableBlocks() const;

  Plan PlanStep(absl::Time now);
  // How many of `rows` the sequence can run with `free_blocks`, which what is preempted for it adds
  // to: those that come after it, the last first, then those that are paused.
  int MakeRoom(const Sequence& sequence, int rows, int64_t& free_blocks);
  // Takes the last one that may be preempted for `sequence` out; false where there is none.
  bool PreemptFor(const Sequence& sequence);
  bool PreemptLast(const std::function<bool(const Sequence&)>& may_go);

  void RunStep(const Plan& plan);
  void OnFailedStep(const Plan& plan, const absl::Status& status, absl::Time now);
  void Consume(const Plan& plan, StepResult result, absl::Time now);
  void FailSequences(const Plan& plan, const absl::Status& status, absl::Time now);
  std::unique_ptr<Sequence> Remove(const Sequence& sequence);
  void SetReady(bool ready);
  void CountSequences();
  absl::Duration IdleTime(absl::Time now) const;

  const int index_;
  AttentionClient* const attention_;
  Admission* const admission_;
  StreamEvents* const events_;
  SchedulerObserver* const observer_;
  const SchedulerOptions options_;
  const std::function<void()> on_round_;

  uint64_t incarnation_;                            // of the attention worker that knows running_
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of precedence
  StepPace pace_;
  // The sequence that waits for room, and how much more than one block for each that runs was too
  // little for it.
  SequenceId roomless_id_ = 0;
  int64_t roomless_blocks_ = 0;
  std::atomic<int> num_running_{0};
  std::atomic<int> num_siblings_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_STEP_LOOP_H_
