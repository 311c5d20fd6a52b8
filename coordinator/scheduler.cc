#include "coordinator/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/check.h"
#include "model/log.h"

namespace tramontane {
namespace {

// With nothing to run the step thread looks again after at most this long, and after the second,
// shorter time where a sequence waits for KV blocks that no sequence of ours holds.
constexpr absl::Duration kIdleCheck = absl::Seconds(1);
constexpr absl::Duration kAdmissionRetry = absl::Milliseconds(50);

absl::Status ShuttingDown() {
  return absl::UnavailableError("the coordinator is shutting down; ask another one");
}

absl::Status PastDeadline() {
  return absl::DeadlineExceededError("the request's deadline passed before it was finished");
}

// A step's failure as one of its requests shall see it.
absl::Status FailureFor(const Sequence& sequence, const absl::Status& step_status, absl::Time now) {
  if (now >= sequence.deadline()) return PastDeadline();
  if (step_status.code() != absl::StatusCode::kDeadlineExceeded) return step_status;
  // Not the client's deadline, so not the client's status.
  return absl::UnavailableError(
      absl::StrCat("an expert did not answer in time: ", step_status.message()));
}

}  // namespace

Scheduler::Scheduler(AttentionClient* attention, const Tokenizer* tokenizer,
                     SchedulerObserver* observer, const SchedulerOptions& options)
    : attention_(attention),
      tokenizer_(tokenizer),
      observer_(observer),
      options_(options),
      wake_(std::make_shared<WakeSignal>()),
      open_streams_(std::make_shared<OpenStreams>()) {
  TRAMONTANE_CHECK(options_.max_step_tokens > 0 && options_.max_running_requests > 0 &&
                   options_.max_waiting_requests >= 0);
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;
    stopping_ = true;
  }
  wake_->Raise();
  if (thread_.joinable()) thread_.join();
  const absl::Time now = options_.clock();
  while (!running_.empty()) {
    Leave(RemoveRunning(running_.front()->id()), ShuttingDown(), /*holds_blocks=*/true, now);
  }
  SequenceList waiting;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting.swap(waiting_);
  }
  for (std::unique_ptr<Sequence>& sequence : waiting) {
    Leave(std::move(sequence), ShuttingDown(), /*holds_blocks=*/false, now);
  }
}

void Scheduler::Start() {
  TRAMONTANE_CHECK(!thread_.joinable());
  ReportRound();
  thread_ = std::thread([this] { Loop(); });
}

void Scheduler::Loop() {
  while (true) {
    const bool ran = RunOnce();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
    }
    if (!ran) wake_->WaitFor(IdleTime(options_.clock()));
  }
}

bool Scheduler::PlaceInQueueLocked() const {
  const int64_t free_places =
      std::max<int64_t>(0, options_.max_running_requests - num_running_.load());
  return static_cast<int64_t>(waiting_.size()) < free_places + options_.max_waiting_requests;
}

absl::StatusOr<std::shared_ptr<TokenStream>> Scheduler::Submit(GenerationPlan plan,
                                                               absl::Time deadline) {
  const absl::Time now = options_.clock();
  if (now >= deadline) return PastDeadline();
  // Streams that have ended but are not read to their end count here, so that clients which never
  // read cannot pile them up.
  const int64_t max_open =
      2 * (int64_t{options_.max_running_requests} + options_.max_waiting_requests);
  std::shared_ptr<TokenStream> stream(
      new TokenStream(options_.stream_capacity_tokens, [wake = wake_] { wake->Raise(); }),
      [open = open_streams_](TokenStream* ended) {
        delete ended;
        open->Remove();
      });
  const int64_t num_open = open_streams_->Add();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return ShuttingDown();
    if (!PlaceInQueueLocked() || num_open > max_open) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the waiting queue is full: ", num_running_.load(), " requests run, ", waiting_.size(),
          " wait (limit ", options_.max_waiting_requests, "); try again later"));
    }
    waiting_.push_back(
        std::make_unique<Sequence>(next_id_++, std::move(plan), tokenizer_, stream, now, deadline));
    idle_ = false;
  }
  wake_->Raise();
  return stream;
}

void Scheduler::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
  wake_->Raise();
  // Ends: the step thread drops whatever is left once the deadline has passed.
  drained_.wait(lock, [this] { return idle_; });
}

bool Scheduler::AwaitDelivered(absl::Time deadline) { return open_streams_->AwaitNone(deadline); }

int64_t Scheduler::num_waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

bool Scheduler::RunOnce() {
  const absl::Time now = options_.clock();
  DropEnded(now);
  Admit(now);
  const StepRequest step = PlanStep(now);
  if (!step.chunks.empty()) RunStep(step);
  ReportRound();
  return !step.chunks.empty();
}

absl::Status Scheduler::ReasonToLeave(const Sequence& sequence, bool waiting, absl::Time now,
                                      absl::Time drain_deadline) const {
  if (absl::Status cancelled = sequence.stream().cancelled(); !cancelled.ok()) return cancelled;
  if (now >= sequence.deadline()) return PastDeadline();
  if (now >= drain_deadline) return ShuttingDown();
  if (waiting && options_.queue_timeout > absl::ZeroDuration() &&
      now - sequence.arrival() >= options_.queue_timeout) {
    return absl::ResourceExhaustedError(absl::StrCat("waited for ",
                                                     absl::FormatDuration(options_.queue_timeout),
                                                     " and could not start; try again later"));
  }
  if (sequence.stalled_since.has_value() &&
      now - *sequence.stalled_since >= options_.slow_client_timeout) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the client has left ", options_.stream_capacity_tokens, " tokens unread for ",
                     absl::FormatDuration(options_.slow_client_timeout)));
  }
  return absl::OkStatus();
}

void Scheduler::DropEnded(absl::Time now) {
  std::vector<std::pair<std::unique_ptr<Sequence>, absl::Status>> leaving;
  absl::Time drain_deadline;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    drain_deadline = drain_deadline_;
    SequenceList staying;
    for (std::unique_ptr<Sequence>& sequence : waiting_) {
      absl::Status reason = ReasonToLeave(*sequence, /*waiting=*/true, now, drain_deadline);
      if (reason.ok()) {
        staying.push_back(std::move(sequence));
      } else {
        leaving.emplace_back(std::move(sequence), std::move(reason));
      }
    }
    waiting_.swap(staying);
  }
  for (auto& [sequence, reason] : leaving) {
    Leave(std::move(sequence), reason, /*holds_blocks=*/false, now);
  }
  for (size_t i = 0; i < running_.size();) {
    const absl::Status reason = ReasonToLeave(*running_[i], /*waiting=*/false, now, drain_deadline);
    if (reason.ok()) {
      ++i;
    } else {
      Leave(RemoveRunning(running_[i]->id()), reason, /*holds_blocks=*/true, now);
    }
  }
}

void Scheduler::Admit(absl::Time now) {
  // One row a step for each running sequence at the least.
  const size_t max_running =
      static_cast<size_t>(std::min(options_.max_running_requests, options_.max_step_tokens));
  while (running_.size() < max_running) {
    std::unique_ptr<Sequence> next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const absl::Status status = attention_->AddSequence(next->Spec());
    if (status.ok()) {
      running_.push_back(std::move(next));
      num_running_.store(static_cast<int64_t>(running_.size()));
    } else if (status.code() == absl::StatusCode::kResourceExhausted) {
      // First come first served: nobody overtakes it.
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.push_front(std::move(next));
      return;
    } else {
      Leave(std::move(next), status, /*holds_blocks=*/false, now);
    }
  }
}

StepRequest Scheduler::PlanStep(absl::Time now) {
  StepRequest step;
  step.deadline = absl::InfinitePast();
  int budget = options_.max_step_tokens;
  for (const bool prefill : {false, true}) {
    for (const std::unique_ptr<Sequence>& sequence : running_) {
      if (sequence->prefilling() != prefill || budget == 0) continue;
      if (sequence->stream().full()) {
        if (!sequence->stalled_since.has_value()) sequence->stalled_since = now;
        continue;
      }
      sequence->stalled_since.reset();
      step.chunks.push_back(sequence->NextChunk(budget));
      budget -= static_cast<int>(step.chunks.back().token_ids.size());
      // Somebody waits for this step until the last of its deadlines.
      step.deadline = std::max(step.deadline, sequence->deadline());
      if (!sequence->started().has_value()) {
        sequence->MarkStarted(now);
        observer_->OnStarted(now - sequence->arrival());
      }
    }
  }
  return step;
}

void Scheduler::RunStep(const StepRequest& step) {
  absl::StatusOr<StepResult> result = attention_->Step(step);
  const absl::Time now = options_.clock();
  if (result.ok() && result->chunks.size() != step.chunks.size()) {
    result = absl::InternalError(absl::StrCat("a step of ", step.chunks.size(),
                                              " chunks was answered with ", result->chunks.size()));
  }
  if (result.ok()) {
    Consume(step, *std::move(result), now);
  } else {
    Log(LogLevel::kWarning, "step failed",
        {{"sequences", step.chunks.size()},
         {"status", absl::StatusCodeToString(result.status().code())},
         {"message", result.status().message()}});
    FailSequences(step, result.status(), now);
  }
}

void Scheduler::Consume(const StepRequest& step, StepResult result, absl::Time now) {
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  std::vector<std::pair<SequenceId, absl::Status>> leaving;
  for (size_t i = 0; i < step.chunks.size(); ++i) {
    const SequenceChunk& chunk = step.chunks[i];
    Sequence& sequence = *FindRunning(chunk.id);
    if (sequence.prefilling()) prompt_tokens += static_cast<int64_t>(chunk.token_ids.size());
    const std::optional<absl::Time> last_token_time = sequence.last_token_time();
    const absl::Status status = sequence.Consume(chunk, std::move(result.chunks[i]), now);
    if (status.ok() && chunk.sample) {
      ++new_tokens;
      if (last_token_time.has_value()) {
        observer_->OnNextToken(now - *last_token_time);
      } else {
        observer_->OnFirstToken(now - sequence.arrival());
      }
    }
    if (!status.ok() || sequence.finished()) leaving.emplace_back(chunk.id, status);
  }
  // Counted before any stream ends: who has seen the end of a request sees it in the counters.
  observer_->OnStepTokens(prompt_tokens, new_tokens);
  for (const auto& [id, status] : leaving) {
    Leave(RemoveRunning(id), status, /*holds_blocks=*/true, now);
  }
}

void Scheduler::FailSequences(const StepRequest& step, const absl::Status& status, absl::Time now) {
  for (const SequenceChunk& chunk : step.chunks) {
    std::unique_ptr<Sequence> sequence = RemoveRunning(chunk.id);
    const absl::Status failure = FailureFor(*sequence, status, now);
    Leave(std::move(sequence), failure, /*holds_blocks=*/true, now);
  }
}

void Scheduler::Leave(std::unique_ptr<Sequence> sequence, const absl::Status& status,
                      bool holds_blocks, absl::Time now) {
  if (holds_blocks) attention_->ReleaseSequence(sequence->id());
  const absl::Duration total = now - sequence->arrival();
  const absl::Duration queue = sequence->started().value_or(now) - sequence->arrival();
  observer_->OnEnded(status, total);
  Log(LogLevel::kInfo, "request ended",
      {{"request", sequence->id()},
       {"status", absl::StatusCodeToString(status.code())},
       {"prompt_tokens", sequence->prompt_tokens()},
       {"completion_tokens", sequence->completion_tokens()},
       {"queue_ms", absl::ToInt64Milliseconds(queue)},
       {"total_ms", absl::ToInt64Milliseconds(total)}});
  sequence->stream().End(status);
}

std::unique_ptr<Sequence> Scheduler::RemoveRunning(SequenceId id) {
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [id](const auto& sequence) { return sequence->id() == id; });
  TRAMONTANE_CHECK(found != running_.end());
  std::unique_ptr<Sequence> sequence = std::move(*found);
  running_.erase(found);
  num_running_.store(static_cast<int64_t>(running_.size()));
  return sequence;
}

Sequence* Scheduler::FindRunning(SequenceId id) {
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [id](const auto& sequence) { return sequence->id() == id; });
  TRAMONTANE_CHECK(found != running_.end());
  return found->get();
}

void Scheduler::ReportRound() {
  const int64_t num_waiting_now = num_waiting();
  observer_->OnRound(num_running(), num_waiting_now, attention_->kv_cache_usage());
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_ = running_.empty() && waiting_.empty();
  if (idle_) drained_.notify_all();
}

absl::Duration Scheduler::IdleTime(absl::Time now) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Duration idle = kIdleCheck;
  if (!waiting_.empty()) idle = kAdmissionRetry;
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    idle = std::min(idle, sequence->deadline() - now);
  }
  return std::max(idle, absl::Milliseconds(1));
}

}  // namespace tramontane
