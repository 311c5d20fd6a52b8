#include "coordinator/step_loop.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/check.h"
#include "model/log.h"

namespace tramontane {
namespace {

// With nothing to run the loop looks again after at most this long.
constexpr absl::Duration kIdleCheck = absl::Seconds(1);
// A request whose attention worker is lost for more than so many times without a new token may be
// the cause of it.
constexpr int kMaxLosses = 3;

// A step's failure as its requests shall see it.
absl::Status FailureOf(const absl::Status& step_status) {
  if (step_status.code() != absl::StatusCode::kDeadlineExceeded) return step_status;
  // Not the client's deadline, so not the client's status.
  return absl::UnavailableError(
      absl::StrCat("an expert did not answer in time: ", step_status.message()));
}

bool Precedes(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) {
  return a->precedence() < b->precedence();
}

}  // namespace

StepLoop::StepLoop(int index, AttentionClient* attention, Admission* admission,
                   StreamEvents* events, SchedulerObserver* observer,
                   const SchedulerOptions& options, std::function<void()> on_round)
    : index_(index),
      attention_(attention),
      admission_(admission),
      events_(events),
      observer_(observer),
      options_(options),
      on_round_(std::move(on_round)),
      incarnation_(attention->incarnation()) {
  SetReady(attention_->readiness().ok());
}

StepLoop::~StepLoop() {
  Stop();
  const absl::Time now = options_.clock();
  while (!running_.empty()) {
    End(Remove(*running_.back()), absl::UnavailableError("the coordinator has stopped"), now);
  }
}

void StepLoop::Start() {
  TRAMONTANE_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Loop(); });
}

void StepLoop::Stop() {
  stopping_.store(true);
  events_->wake(index_).Raise();
  if (thread_.joinable()) thread_.join();
}

void StepLoop::Loop() {
  while (!stopping_.load()) {
    if (!RunOnce()) events_->wake(index_).WaitFor(IdleTime(options_.clock()));
  }
}

bool StepLoop::RunOnce() {
  const absl::Time now = options_.clock();
  admission_->Expect(index_, now + StepPace::kShortestLimit);
  RequeueLost(now);
  DropEnded(now);
  Admit(now);
  const Plan plan = PlanStep(now);
  if (!plan.sequences.empty()) RunStep(plan);
  admission_->Expect(index_, absl::InfiniteFuture());  // it answers whenever it is woken
  on_round_();
  return !plan.sequences.empty();
}

void StepLoop::RequeueLost(absl::Time now) {
  const uint64_t incarnation = attention_->incarnation();
  if (incarnation == incarnation_) return;
  incarnation_ = incarnation;
  roomless_id_ = 0;
  const absl::Status readiness = attention_->readiness();
  const std::string reason(readiness.ok() ? "it is back" : readiness.message());
  while (!running_.empty()) Requeue(*running_.back(), reason, now);
  events_->WakeAll();  // other workers may take them
}

void StepLoop::Requeue(const Sequence& sequence, const std::string& reason, absl::Time now) {
  std::unique_ptr<Sequence> lost = Remove(sequence);
  lost->OnLost(now);
  if (lost->num_losses() > kMaxLosses) {
    End(std::move(lost),
        absl::UnavailableError(absl::StrCat("the attention workers that ran the request were lost ",
                                            kMaxLosses + 1,
                                            " times without a new token; the last: ", reason)),
        now);
    return;
  }
  observer_->OnRequeued();
  admission_->Return(std::move(lost));
}

void StepLoop::DropEnded(absl::Time now) {
  for (auto& [sequence, reason] : admission_->TakeEnded(now)) {
    End(std::move(sequence), reason, now);
  }
  for (size_t i = 0; i < running_.size();) {
    const absl::Status reason = admission_->ReasonToLeave(*running_[i], /*waiting=*/false, now);
    if (reason.ok()) {
      ++i;
    } else {
      End(Remove(*running_[i]), reason, now);
    }
  }
}

void StepLoop::SetReady(bool ready) {
  CountSequences();
  admission_->SetLoad(index_, {.ready = ready,
                               .num_running = num_running_.load() + num_siblings_.load(),
                               .readiness = attention_->readiness()});
}

void StepLoop::CountSequences() {
  int num_siblings = 0;
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    num_siblings += static_cast<int>(sequence->siblings.size());
  }
  num_running_.store(static_cast<int>(running_.size()));
  num_siblings_.store(num_siblings);
}

void StepLoop::Admit(absl::Time now) {
  // One row a step for each running sequence at the least.
  const int max_running = std::min(options_.max_running_requests, options_.max_step_tokens);
  // The places of those who wait for a prompt that runs here are taken.
  const auto has_place = [&] { return num_running_.load() + num_siblings_.load() < max_running; };
  bool room = attention_->readiness().ok();
  CountSequences();
  while (room && has_place()) {
    SetReady(true);
    admission_->Expect(index_, options_.clock() + StepPace::kShortestLimit);
    std::unique_ptr<Sequence> next = admission_->Next(index_);
    if (next == nullptr) break;
    const absl::StatusOr<bool> admitted = TryAdmit(*next);
    if (!admitted.ok() && IsWorkersFault(admitted.status())) {
      admission_->Return(std::move(next));  // another worker may take it
      room = false;
    } else if (!admitted.ok()) {
      End(std::move(next), admitted.status(), now);
    } else if (*admitted) {
      ReleaseSiblings(*next);
      const auto place = std::upper_bound(running_.begin(), running_.end(), next, Precedes);
      running_.insert(place, std::move(next));
      CountSequences();
    } else {
      admission_->Return(std::move(next));
      room = false;
    }
  }
  SetReady(room && has_place());
}

bool StepLoop::IsWorkersFault(const absl::Status& refusal) const {
  return absl::IsUnavailable(refusal) || absl::IsAborted(refusal) ||
         attention_->incarnation() != incarnation_;
}

void StepLoop::ReleaseSiblings(Sequence& sequence) {
  if (sequence.siblings.empty()) return;
  const int block_size = attention_->kv_cache_usage().block_size;
  if (sequence.rows_run() < sequence.shareable_prompt_tokens(block_size)) {
    // The prompt is on its way: nothing of them waits for a beginning any more.
    for (const std::unique_ptr<Sequence>& sibling : sequence.siblings) sibling->JoinWorker(index_);
    return;
  }
  admission_->ReleaseSiblings(sequence, index_);
  CountSequences();
  events_->WakeAll();
}

StepLoop::Plan StepLoop::PlanStep(absl::Time now) {
  int prefill_rows = options_.max_step_tokens;
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    if (!sequence->stream().full()) {
      sequence->stalled_since.reset();
      if (!sequence->prefilling()) --prefill_rows;
    } else if (!sequence->stalled_since.has_value()) {
      sequence->stalled_since = now;
    }
  }
  Plan plan;
  plan.request.deadline = absl::InfinitePast();
  int64_t free_blocks = attention_->kv_cache_usage().num_free_blocks;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    const int rows = sequence.prefilling() ? prefill_rows : 1;
    if (sequence.stalled_since.has_value() || rows == 0) continue;
    const int granted = MakeRoom(sequence, rows, free_blocks);
    while (running_[i].get() != &sequence) --i;  // paused ones before it may have gone
    if (granted == 0) continue;
    plan.request.chunks.push_back(sequence.NextChunk(granted));
    plan.sequences.push_back(&sequence);
    const int run = static_cast<int>(plan.request.chunks.back().token_ids.size());
    plan.num_rows += run;
    if (sequence.prefilling()) prefill_rows -= run;
    // Somebody waits for this step until the last of its deadlines.
    plan.request.deadline = std::max(plan.request.deadline, admission_->DeadlineOf(sequence));
    if (!sequence.started().has_value()) {
      sequence.MarkStarted(now);
      observer_->OnStarted(now - sequence.arrival());
    }
  }
  return plan;
}

void StepLoop::RunStep(const Plan& plan) {
  const absl::Time begin = options_.clock();
  admission_->Expect(index_, begin + pace_.Limit(plan.num_rows));
  absl::StatusOr<StepResult> result = attention_->Step(plan.request);
  const absl::Time now = options_.clock();
  if (result.ok()) pace_.OnStep(plan.num_rows, now - begin);
  admission_->Expect(index_, now + StepPace::kShortestLimit);
  if (result.ok() && result->chunks.size() != plan.sequences.size()) {
    result = absl::InternalError(absl::StrCat("a step of ", plan.sequences.size(),
                                              " chunks was answered with ", result->chunks.size()));
  }
  if (result.ok()) {
    Consume(plan, *std::move(result), now);
  } else if (result.status().code() != absl::StatusCode::kAborted) {  // then it is run again
    Log(LogLevel::kWarning, "step failed",
        {{"sequences", plan.sequences.size()},
         {"status", absl::StatusCodeToString(result.status().code())},
         {"message", result.status().message()}});
    // Of a worker that is lost, the next round makes them wait again.
    if (attention_->incarnation() == incarnation_) OnFailedStep(plan, result.status(), now);
  }
}

void StepLoop::OnFailedStep(const Plan& plan, const absl::Status& status, absl::Time now) {
  // It may be this worker alone that does not reach the experts.
  if (!absl::IsUnavailable(status) || attention_->readiness().ok() ||
      !admission_->OthersServe(index_)) {
    FailSequences(plan, status, now);
    return;
  }
  for (const Sequence* sequence : plan.sequences) {
    Requeue(*sequence, std::string(status.message()), now);
  }
  events_->WakeAll();
}

void StepLoop::Consume(const Plan& plan, StepResult result, absl::Time now) {
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  std::vector<std::pair<Sequence*, absl::Status>> leaving;
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const SequenceChunk& chunk = plan.request.chunks[i];
    Sequence& sequence = *plan.sequences[i];
    const int num_rows = static_cast<int>(chunk.token_ids.size());
    prompt_tokens += std::clamp(sequence.prompt_tokens() - chunk.first_position, 0, num_rows);
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
    if (status.ok()) ReleaseSiblings(sequence);
    if (!status.ok() || sequence.finished()) leaving.emplace_back(&sequence, status);
  }
  // Counted before any stream ends: who has seen the end of a request sees it in the counters.
  observer_->OnStepTokens(prompt_tokens, new_tokens);
  for (const auto& [sequence, status] : leaving) End(Remove(*sequence), status, now);
}

void StepLoop::FailSequences(const Plan& plan, const absl::Status& status, absl::Time now) {
  for (const Sequence* sequence : plan.sequences) {
    const absl::Status leaves = admission_->ReasonToLeave(*sequence, /*waiting=*/false, now);
    End(Remove(*sequence), leaves.ok() ? FailureOf(status) : leaves, now);
  }
}

void StepLoop::End(std::unique_ptr<Sequence> sequence, const absl::Status& status, absl::Time now) {
  for (std::unique_ptr<Sequence>& sibling : std::exchange(sequence->siblings, {})) {
    End(std::move(sibling), status, now);
  }
  const absl::Duration total = now - sequence->arrival();
  const absl::Duration queue = sequence->started().value_or(now) - sequence->arrival();
  observer_->OnEnded(status, total);
  // Nothing else is exhausted before a request has started, which its first completion does first.
  if (status.code() == absl::StatusCode::kResourceExhausted && !sequence->started().has_value() &&
      sequence->id() == sequence->first_id()) {
    observer_->OnRefused(sequence->displaced ? Refusal::kDisplaced : Refusal::kQueueTimeout);
  }
  Log(LogLevel::kInfo, "request ended",
      {{"request", sequence->id()},
       {"status", absl::StatusCodeToString(status.code())},
       {"prompt_tokens", sequence->prompt_tokens()},
       {"completion_tokens", sequence->completion_tokens()},
       {"queue_ms", absl::ToInt64Milliseconds(queue)},
       {"total_ms", absl::ToInt64Milliseconds(total)}});
  sequence->stream().End(status);
  admission_->Left(sequence->started().has_value());
}

std::unique_ptr<Sequence> StepLoop::Remove(const Sequence& sequence) {
  attention_->ReleaseSequence(sequence.id());
  const auto found =
      std::find_if(running_.begin(), running_.end(),
                   [&sequence](const auto& running) { return running.get() == &sequence; });
  TRAMONTANE_CHECK(found != running_.end());
  std::unique_ptr<Sequence> removed = std::move(*found);
  running_.erase(found);
  CountSequences();
  return removed;
}

absl::Duration StepLoop::IdleTime(absl::Time now) const {
  absl::Time until = std::min(now + kIdleCheck, admission_->next_expiry());
  for (const std::unique_ptr<Sequence>& sequence : running_) {
    until = std::min(until, sequence->deadline());
  }
  return std::max(until - now, absl::Milliseconds(1));
}

}  // namespace tramontane
