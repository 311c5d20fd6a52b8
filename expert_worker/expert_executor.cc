#include "expert_worker/expert_executor.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "expert_worker/expert_task_check.h"
#include "kernels/expert_ffn.h"
#include "kernels/finite_rows.h"
#include "model/check.h"

namespace tramontane {
namespace {

struct QueuedTask {
  ExpertTask task;
  ExpertExecutor::Done done;
  absl::Time received;
};

absl::Status ShuttingDown() {
  return absl::UnavailableError("the expert worker is shutting down; use another replica");
}

bool IsCancelled(const ExpertTask& task) {
  return task.cancelled != nullptr && task.cancelled->load(std::memory_order_relaxed);
}

absl::Status Cancelled() {
  return absl::CancelledError("the batch was cancelled before its turn came");
}

// OK while somebody waits for the answer.
absl::Status StillWanted(const ExpertTask& task, absl::Time now) {
  if (IsCancelled(task)) return Cancelled();
  if (now > task.deadline) {
    return absl::DeadlineExceededError(
        "the batch's deadline passed in the worker's queue; add replicas or allow more time");
  }
  return absl::OkStatus();
}

absl::Status CheckInputRows(const ExpertTask& task, int64_t hidden_size) {
  for (size_t i = 0; i < task.rows.size(); ++i) {
    if (!RowIsFinite(task.rows[i], hidden_size, task.row_dtype)) {
      return absl::InvalidArgumentError(
          absl::StrCat("row ", i, " of layer ", task.layer, " holds an infinity or a NaN"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOutputRows(const ExpertTask& task, const Buffer& rows, int64_t hidden_size) {
  const int64_t row_bytes = hidden_size * static_cast<int64_t>(DTypeSize(task.row_dtype));
  const std::byte* row = rows.bytes();
  for (size_t group = 0; group < task.expert_ids.size(); ++group) {
    for (int32_t i = 0; i < task.rows_per_expert[group]; ++i, row += row_bytes) {
      if (!RowIsFinite(row, hidden_size, task.row_dtype)) {
        return absl::InternalError(absl::StrCat("expert ", task.expert_ids[group], " of layer ",
                                                task.layer,
                                                " gave an infinity or a NaN for finite rows; are "
                                                "its weights finite?"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct ExpertExecutor::Impl {
  Impl(const HostedExperts* hosted, ExpertObserver* watcher, const ExpertExecutorOptions& opts)
      : experts(hosted), observer(watcher != nullptr ? watcher : &ignore), options(opts) {}

  void Run();
  // Computes, unless `refused` is an error or nobody waits any more, and answers.
  void Execute(QueuedTask& queued, absl::Status refused);
  absl::StatusOr<ExpertTaskResult> Compute(const ExpertTask& task);

  const HostedExperts* const experts;
  ExpertObserver ignore;
  ExpertObserver* const observer;
  const ExpertExecutorOptions options;

  mutable std::mutex mutex;
  std::condition_variable changed;  // of anything below
  std::deque<QueuedTask> queue ABSL_GUARDED_BY(mutex);
  bool computing ABSL_GUARDED_BY(mutex) = false;
  int answering ABSL_GUARDED_BY(mutex) = 0;  // calls of AnswerCancelled in progress
  bool draining ABSL_GUARDED_BY(mutex) = false;
  bool abandoning ABSL_GUARDED_BY(mutex) = false;  // answer what is queued without computing it
  bool stopping ABSL_GUARDED_BY(mutex) = false;

  // Reused from batch to batch; only the executor's thread touches them.
  std::vector<const std::byte*> inputs;  // [num_pairs]
  std::vector<ExpertRows> groups;

  std::thread thread;
};

void ExpertExecutor::Impl::Run() {
  for (;;) {
    QueuedTask queued;
    absl::Status abandoned;
    {
      std::unique_lock<std::mutex> lock(mutex);
      if (computing) {
        computing = false;
        changed.notify_all();  // Drain may wait for it
      }
      changed.wait(lock, [this] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      queued = std::move(queue.front());
      queue.pop_front();
      computing = true;
      if (abandoning) abandoned = ShuttingDown();
      observer->OnQueueDepth(static_cast<int>(queue.size()));
    }
    Execute(queued, abandoned);
  }
}

void ExpertExecutor::Impl::Execute(QueuedTask& queued, absl::Status refused) {
  const absl::Time start = absl::Now();
  const absl::Duration queue_time = start - queued.received;
  if (refused.ok()) refused = StillWanted(queued.task, start);
  const bool wanted = refused.ok();
  absl::StatusOr<ExpertTaskResult> result =
      wanted ? Compute(queued.task) : absl::StatusOr<ExpertTaskResult>(std::move(refused));
  const absl::Duration compute_time = wanted ? absl::Now() - start : absl::ZeroDuration();
  observer->OnBatch(result.status(), queue_time, compute_time);
  if (result.ok()) {
    result->queue = queue_time;
    result->compute = compute_time;
    for (size_t i = 0; i < queued.task.expert_ids.size(); ++i) {
      observer->OnRows(queued.task.layer, queued.task.expert_ids[i],
                       queued.task.rows_per_expert[i]);
    }
  }
  queued.done(std::move(result));
}

absl::StatusOr<ExpertTaskResult> ExpertExecutor::Impl::Compute(const ExpertTask& task) {
  const int64_t hidden_size = experts->config().hidden_size;
  const absl::Status finite = CheckInputRows(task, hidden_size);
  if (!finite.ok()) return finite;

  const size_t row_bytes = static_cast<size_t>(hidden_size) * DTypeSize(task.row_dtype);
  absl::StatusOr<Buffer> output = experts->backend()->Allocate(task.row_indices.size() * row_bytes);
  if (!output.ok()) return output.status();

  inputs.clear();
  for (const int32_t row : task.row_indices) inputs.push_back(task.rows[static_cast<size_t>(row)]);
  groups.clear();
  size_t first_pair = 0;
  for (size_t i = 0; i < task.expert_ids.size(); ++i) {
    const size_t count = static_cast<size_t>(task.rows_per_expert[i]);
    groups.push_back({experts->Find(task.layer, task.expert_ids[i]),
                      std::span(inputs).subspan(first_pair, count),
                      output->bytes() + first_pair * row_bytes});
    first_pair += count;
  }
  ExpertFfnArgs args;
  args.groups = groups;
  experts->backend()->ExpertFfn(args);

  const absl::Status sound = CheckOutputRows(task, *output, hidden_size);
  if (!sound.ok()) return sound;
  ExpertTaskResult result;
  result.rows = std::make_shared<const Buffer>(*std::move(output));
  result.num_rows = static_cast<int64_t>(task.row_indices.size());
  return result;
}

ExpertExecutor::ExpertExecutor(const HostedExperts* experts, ExpertObserver* observer,
                               const ExpertExecutorOptions& options)
    : impl_(std::make_unique<Impl>(experts, observer, options)) {
  TRAMONTANE_CHECK(options.max_queued_batches > 0 && options.max_batch_rows > 0);
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
  absl::Status refused = CheckExpertTask(task, *impl_->experts, impl_->options.max_batch_rows);
  if (refused.ok()) {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    if (impl_->draining) {
      refused = ShuttingDown();
    } else if (impl_->queue.size() >= static_cast<size_t>(impl_->options.max_queued_batches)) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat("the expert worker's queue is full (", impl_->options.max_queued_batches,
                       " batches); try again, add replicas or raise --max_queued_batches"));
    } else {
      impl_->queue.push_back({std::move(task), std::move(done), received});
      impl_->observer->OnQueueDepth(static_cast<int>(impl_->queue.size()));
    }
  }
  if (refused.ok()) {
    impl_->changed.notify_all();
    return;
  }
  impl_->observer->OnBatch(refused, absl::ZeroDuration(), absl::ZeroDuration());
  done(std::move(refused));
}

void ExpertExecutor::AnswerCancelled() {
  std::vector<QueuedTask> cancelled;
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    std::deque<QueuedTask> kept;
    for (QueuedTask& queued : impl_->queue) {
      if (IsCancelled(queued.task)) {
        cancelled.push_back(std::move(queued));
      } else {
        kept.push_back(std::move(queued));
      }
    }
    impl_->queue.swap(kept);
    ++impl_->answering;
    impl_->observer->OnQueueDepth(static_cast<int>(impl_->queue.size()));
  }
  for (QueuedTask& queued : cancelled) impl_->Execute(queued, Cancelled());
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
  while (!idle()) {
    // In steps, since the infinite future is no time of the condition variable's clock.
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    impl_->changed.wait_for(lock, absl::ToChronoMicroseconds(std::min(left, absl::Minutes(1))));
  }
  impl_->abandoning = true;
  // Ends: nothing new comes in, and every task's compute is finite.
  impl_->changed.wait(lock, idle);
}

int ExpertExecutor::queued_batches() const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  return static_cast<int>(impl_->queue.size());
}

}  // namespace tramontane
