// Runs routed rows through hosted experts, one batch, or several of one layer, after another.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "expert_worker/expert_task.h"
#include "expert_worker/hosted_experts.h"

namespace tramontane {

struct ExpertExecutorOptions {
  int max_queued_batches = 64;
  int max_batch_rows = 65'536;  // (row, expert) pairs in one task
  // Of one stream's batches that are not yet answered, with the answers' rows, and of its answers
  // that wait to be written. With so many, the service reads no more of it, whose peer then holds
  // at most this and one batch, and its answer, of the worker's memory. A prefill of 2,048 tokens
  // takes 48 MiB a layer where rows have 8 KiB and a token two experts.
  size_t max_stream_bytes = size_t{256} << 20;
  // (row, expert) pairs in tasks that are computed together. With that many, 128 for each of 8
  // experts, weights are read in a small part of the time that arithmetic takes; more would only
  // make the other layers' tasks wait.
  int max_merged_rows = 1'024;
  // What a task waits at most for others of its layer; zero: it never waits.
  absl::Duration merge_linger;
  // After a batch of a stream, how long it counts as active: it sends one a layer, and one that is
  // silent for longer is not worth waiting for.
  absl::Duration stream_active_for = absl::Milliseconds(100);
  // A task of at most so many pairs that finds the executor idle is computed by the thread that
  // submits it: a single token's rows need not wait for a thread to wake up. Not while several
  // streams are active, whose tasks that thread could not submit meanwhile, to be computed
  // together. Zero: none is.
  int max_inline_rows = 2;
  // Of answers that are computed or not yet let go of, of all streams together; beyond that a task
  // is refused, but where nobody else has any.
  size_t max_answer_bytes = size_t{4} << 30;
  // Of memory for answers that is kept for the next ones…
  size_t max_idle_answer_bytes = size_t{64} << 20;
  // … until no task has come for so long.
  absl::Duration free_answers_after = absl::Seconds(5);
};

// Counts what the executor did. Calls come from its thread and, for tasks that are refused or
// computed there, from the submitting one. The default ignores everything.
class ExpertObserver {
 public:
  virtual ~ExpertObserver() = default;
  virtual void OnRows(int /*layer*/, int /*expert*/, int64_t /*num_rows*/) {}
  virtual void OnBatch(const absl::Status& /*status*/, absl::Duration /*queue*/,
                       absl::Duration /*compute*/) {}
  // Tasks that were computed together, and their (row, expert) pairs.
  virtual void OnMerge(int /*num_tasks*/, int64_t /*num_rows*/) {}
  // Called with the queue locked: must neither block nor call the executor.
  virtual void OnQueueDepth(int /*queued_batches*/) {}
  // Memory of answers that are computed, or that peers have not taken. Called from the threads that
  // let go of answers, too, and must neither block nor call the executor.
  virtual void OnAnswerMemory(size_t /*num_bytes*/) {}
};

// A bounded queue and one thread at a time that computes: the oldest task first, and with it those
// of its layer that wait, of whatever stream. No bit of an answer depends on that. Thread-safe.
class ExpertExecutor {
 public:
  using Done = ExpertTaskDone;

  // `experts` and `observer` (may be null) outlive the executor.
  ExpertExecutor(const HostedExperts* experts, ExpertObserver* observer,
                 const ExpertExecutorOptions& options);
  // Finishes what is queued, then stops.
  ~ExpertExecutor();

  // `done` is called exactly once, from the executor's thread, before Submit returns, or from
  // another call of Submit or AnswerCancelled: NOT_FOUND for an expert that is not hosted,
  // INVALID_ARGUMENT for indices, sizes or dtype that do not fit or a row that is not finite,
  // RESOURCE_EXHAUSTED when the queue is full and no stream has more in it (it may fill up later:
  // then the newest tasks of the stream with the most go), memory runs out or answers hold too much
  // of it, UNAVAILABLE after Drain, DEADLINE_EXCEEDED or CANCELLED for a task that nobody waits for
  // when its turn comes, INTERNAL for an expert that gives a row that is not finite.
  void Submit(ExpertTask task, Done done);

  // Tells the observer of a batch that was refused before it could be a task.
  void CountRefused(const absl::Status& status);

  // Answers queued tasks whose `cancelled` is set, so that their places are free before their turn.
  void AnswerCancelled();

  // Refuses new tasks and waits until the queued ones are done. Those whose turn has not come by
  // `deadline` are answered with UNAVAILABLE instead, so that the wait ends with the task that is
  // being computed then.
  void Drain(absl::Time deadline = absl::InfiniteFuture());

  int queued_batches() const;
  // Memory that waits for answers.
  size_t idle_answer_bytes() const;
  // Memory of answers that are computed or not yet let go of.
  size_t lent_answer_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_EXECUTOR_H_
