#include "expert_worker/expert_executor.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "expert_worker/answer_buffers.h"
#include "expert_worker/expert_task_check.h"
#include "expert_worker/lone_stream.h"
#include "expert_worker/merge_linger.h"
#include "expert_worker/merged_batch.h"
#include "expert_worker/task_queue.h"
#include "model/check.h"

namespace tramontane {
namespace {

absl::Status ShuttingDown() {
  return absl::UnavailableError("the expert worker is shutting down; use another replica");
}

absl::Status Cancelled() {
  return absl::CancelledError("the batch was cancelled before its turn came");
}

absl::Status QueueFull(int max_queued_batches) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the expert worker's queue is full (", max_queued_batches,
      " batches) and no stream has more in it than this one; try again, add replicas or raise "
      "--max_queued_batches"));
}

// OK while somebody waits for the answer.
absl::Status StillWanted(const ExpertTask& task, absl::Time now) {
  if (task.cancelled != nullptr && task.cancelled->load(std::memory_order_relaxed)) {
    return Cancelled();
  }
  if (now > task.deadline) {
    return absl::DeadlineExceededError(
        "the batch's deadline passed in the worker's queue; add replicas or allow more time");
  }
  return absl::OkStatus();
}

// For the condition variable, whose clock has no infinite future: callers wait again.
std::chrono::microseconds WaitTime(absl::Duration left) {
  return absl::ToChronoMicroseconds(std::min(left, absl::Minutes(1)));
}

}  // namespace

struct ExpertExecutor::Impl {
  Impl(const HostedExperts* hosted, ExpertObserver* watcher, const ExpertExecutorOptions& opts)
      : experts(hosted),
        observer(watcher != nullptr ? watcher : &ignore),
        options(opts),
        queue(hosted->config().num_layers, opts.max_queued_batches, opts.max_merged_rows),
        linger(opts.merge_linger, opts.stream_active_for),
        lone_stream(opts.stream_active_for),
        buffers(hosted->backend(), opts.max_idle_answer_bytes, opts.max_answer_bytes,
                [this](size_t lent_bytes) { observer->OnAnswerMemory(lent_bytes); }),
        batch(hosted, &buffers) {}

  void Run();
  // Returns when this thread may compute and a task waits, or it is time to stop. Frees the
  // answers' memory when no task has come for a while, also none that was computed inline.
  void WaitForTask(std::unique_lock<std::mutex>& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Returns when a merge shall be taken; false: stopping, and nothing is queued.
  bool WaitForMerge(std::unique_lock<std::mutex>& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Takes a merge to be computed by this thread.
  void Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // The other threads may compute again.
  void Release(std::unique_lock<std::mutex>& lock);
  // The one task in the queue, of so many pairs, shall be computed where it was submitted, now.
  bool TakesInline(size_t num_pairs, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Answers `merge`; computes what may be computed and is still wanted, unless `refused` is an
  // error.
  void Execute(const absl::Status& refused);
  void AnswerComputed(absl::Time start);
  // Answers a task that is not computed.
  void Refuse(QueuedTask& queued, absl::Status status, absl::Time now);

  const HostedExperts* const experts;
  ExpertObserver ignore;
  ExpertObserver* const observer;
  const ExpertExecutorOptions options;

  mutable std::mutex mutex;
  std::condition_variable changed;  // of anything below
  TaskQueue queue ABSL_GUARDED_BY(mutex);
  MergeLinger linger ABSL_GUARDED_BY(mutex);
  LoneStream lone_stream ABSL_GUARDED_BY(mutex);
  // A thread has what is not guarded below: to compute, or to free memory.
  bool computing ABSL_GUARDED_BY(mutex) = false;
  int answering ABSL_GUARDED_BY(mutex) = 0;  // other threads that answer what was in the queue
  // Since when there is nothing to compute, as far as is known: when the last inline task came, or
  // this thread's last merge was answered.
  absl::Time idle_since ABSL_GUARDED_BY(mutex);
  bool resting ABSL_GUARDED_BY(mutex) = true;  // no memory was taken since it was last freed
  bool draining ABSL_GUARDED_BY(mutex) = false;
  bool abandoning ABSL_GUARDED_BY(mutex) = false;  // answer what is queued without computing it
  bool stopping ABSL_GUARDED_BY(mutex) = false;

  // Used by the thread that set `computing`, but for the number of idle bytes. The lists are kept
  // from merge to merge.
  AnswerBuffers buffers;
  MergedBatch batch;
  std::vector<QueuedTask> merge;
  std::vector<QueuedTask*> computed;  // those of `merge` that are
  std::vector<const ExpertTask*> tasks;
  std::vector<absl::StatusOr<ExpertTaskResult>> results;

  std::thread thread;
};

void ExpertExecutor::Impl::Run() {
  std::unique_lock<std::mutex> lock(mutex);
  while (WaitForMerge(lock)) {
    Take();
    const absl::Status refused = abandoning ? ShuttingDown() : absl::OkStatus();
    lock.unlock();
    Execute(refused);
    Release(lock);
    idle_since = absl::Now();
  }
}

void ExpertExecutor::Impl::Take() {
  queue.TakeMerge(&merge);
  computing = true;
  resting = false;
  observer->OnQueueDepth(queue.size());
}

void ExpertExecutor::Impl::Release(std::unique_lock<std::mutex>& lock) {
  merge.clear();  // with what the answers' callbacks hold
  lock.lock();
  computing = false;
  changed.notify_all();  // the executor's thread may wait for it, and Drain
}

bool ExpertExecutor::Impl::TakesInline(size_t num_pairs, absl::Time now) const {
  return num_pairs <= static_cast<size_t>(options.max_inline_rows) && queue.size() == 1 &&
         !computing && !draining && options.merge_linger == absl::ZeroDuration() &&
         lone_stream.IsAlone(now);
}

void ExpertExecutor::Impl::WaitForTask(std::unique_lock<std::mutex>& lock) {
  while (computing || (queue.empty() && !stopping)) {
    if (computing || resting) {
      changed.wait(lock);
      continue;
    }
    const absl::Duration left = idle_since + options.free_answers_after - absl::Now();
    if (left > absl::ZeroDuration()) {
      changed.wait_for(lock, WaitTime(left));
      continue;
    }
    computing = true;
    resting = true;
    lock.unlock();
    buffers.Rest();
    lock.lock();
    computing = false;
    changed.notify_all();
  }
}

bool ExpertExecutor::Impl::WaitForMerge(std::unique_lock<std::mutex>& lock) {
  // A task that is cancelled while it lingers may leave the queue empty again.
  for (;;) {
    WaitForTask(lock);
    if (queue.empty()) return false;
    if (draining || queue.HasFullMerge()) return true;
    const absl::Time now = absl::Now();
    const absl::Time until = linger.Until(queue.oldest_received(), queue.num_streams(), now);
    if (until <= now) return true;
    changed.wait_for(lock, WaitTime(until - now));
  }
}

void ExpertExecutor::Impl::Execute(const absl::Status& refused) {
  const absl::Time start = absl::Now();
  computed.clear();
  tasks.clear();
  results.clear();
  int64_t num_pairs = 0;
  for (QueuedTask& queued : merge) {
    absl::Status status = refused;
    if (status.ok()) status = StillWanted(queued.task, start);
    if (status.ok()) status = CheckRows(queued.task, experts->config().hidden_size);
    if (!status.ok()) {
      Refuse(queued, std::move(status), start);
      continue;
    }
    computed.push_back(&queued);
    tasks.push_back(&queued.task);
    num_pairs += static_cast<int64_t>(queued.task.row_indices.size());
  }
  if (tasks.empty()) return;
  batch.Compute(tasks, &results);
  observer->OnMerge(static_cast<int>(tasks.size()), num_pairs);
  AnswerComputed(start);
}

void ExpertExecutor::Impl::AnswerComputed(absl::Time start) {
  const absl::Duration compute_time = absl::Now() - start;
  for (size_t i = 0; i < computed.size(); ++i) {
    const ExpertTask& task = computed[i]->task;
    absl::StatusOr<ExpertTaskResult>& result = results[i];
    const absl::Duration queue_time = start - computed[i]->received;
    observer->OnBatch(result.status(), queue_time, compute_time);
    if (result.ok()) {
      result->queue = queue_time;
      result->compute = compute_time;
      for (size_t group = 0; group < task.expert_ids.size(); ++group) {
        observer->OnRows(task.layer, task.expert_ids[group], task.rows_per_expert[group]);
      }
    }
    computed[i]->done(std::move(result));
  }
}

void ExpertExecutor::Impl::Refuse(QueuedTask& queued, absl::Status status, absl::Time now) {
  observer->OnBatch(status, now - queued.received, absl::ZeroDuration());
  queued.done(std::move(status));
}

ExpertExecutor::ExpertExecutor(const HostedExperts* experts, ExpertObserver* observer,
                               const ExpertExecutorOptions& options)
    : impl_(std::make_unique<Impl>(experts, observer, options)) {
  TRAMONTANE_CHECK(options.max_batch_rows > 0);
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

ExpertExecutor::~ExpertExecutor() {
  Drain();
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

void ExpertExecutor::Submit(ExpertTask task, Done done) {
  const absl::Time received = absl::Now();
  const absl::Status fits = CheckExpertTask(task, *impl_->experts, impl_->options.max_batch_rows);
  QueuedTask queued{std::move(task), std::move(done), received};
  if (!fits.ok()) return impl_->Refuse(queued, fits, received);
  const size_t num_pairs = queued.task.row_indices.size();
  std::optional<QueuedTask> refused;
  bool full = false;
  {
    std::unique_lock<std::mutex> lock(impl_->mutex);
    if (impl_->draining) {
      refused = std::move(queued);
    } else {
      impl_->linger.OnBatch(queued.task.stream, received);
      impl_->lone_stream.OnBatch(queued.task.stream, received);
      refused = impl_->queue.Push(std::move(queued));
      full = refused.has_value();
      if (full) ++impl_->answering;
      if (!full && impl_->TakesInline(num_pairs, received)) {
        impl_->idle_since = received;
        impl_->Take();
        lock.unlock();
        impl_->Execute(absl::OkStatus());
        impl_->Release(lock);
        return;
      }
      impl_->observer->OnQueueDepth(impl_->queue.size());
    }
  }
  impl_->changed.notify_all();
  if (!refused.has_value()) return;
  impl_->Refuse(*refused, full ? QueueFull(impl_->options.max_queued_batches) : ShuttingDown(),
                received);
  if (!full) return;
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  --impl_->answering;
  impl_->changed.notify_all();
}

void ExpertExecutor::CountRefused(const absl::Status& status) {
  impl_->observer->OnBatch(status, absl::ZeroDuration(), absl::ZeroDuration());
}

void ExpertExecutor::AnswerCancelled() {
  std::vector<QueuedTask> cancelled;
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->queue.TakeCancelled(&cancelled);
    ++impl_->answering;
    impl_->observer->OnQueueDepth(impl_->queue.size());
  }
  const absl::Time now = absl::Now();
  for (QueuedTask& queued : cancelled) impl_->Refuse(queued, Cancelled(), now);
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  --impl_->answering;
  impl_->changed.notify_all();
}

void ExpertExecutor::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(impl_->mutex);
  const auto idle = [this] {
    return impl_->queue.empty() && !impl_->computing && impl_->answering == 0;
  };
  impl_->draining = true;
  impl_->changed.notify_all();  // a lingering task need wait no longer
  while (!idle()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    impl_->changed.wait_for(lock, WaitTime(left));
  }
  impl_->abandoning = true;
  // Ends: nothing new comes in, and every task's compute is finite.
  impl_->changed.wait(lock, idle);
}

int ExpertExecutor::queued_batches() const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  return impl_->queue.size();
}

size_t ExpertExecutor::idle_answer_bytes() const { return impl_->buffers.idle_bytes(); }

size_t ExpertExecutor::lent_answer_bytes() const { return impl_->buffers.lent_bytes(); }

}  // namespace tramontane
