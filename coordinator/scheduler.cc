#include "coordinator/scheduler.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/time_limits.h"
#include "model/check.h"

namespace tramontane {

Scheduler::Scheduler(const std::vector<AttentionClient*>& attention, const Tokenizer* tokenizer,
                     SchedulerObserver* observer, const SchedulerOptions& options)
    : tokenizer_(tokenizer),
      observer_(observer),
      options_(options),
      events_(std::make_shared<StreamEvents>()),
      open_streams_(std::make_shared<OpenStreams>()),
      admission_(attention.front()->kv_cache_usage().block_size, events_, options) {
  TRAMONTANE_CHECK(options_.max_step_tokens > 0 && options_.max_running_requests > 0 &&
                   options_.max_waiting_requests >= 0);
  for (AttentionClient* one : attention) AddAttention(one);
}

void Scheduler::AddAttention(AttentionClient* attention) {
  const std::lock_guard<std::mutex> lock(loops_mutex_);
  if (steps_end_ < absl::InfiniteFuture()) attention->EndStepsBy(steps_end_);
  events_->AddLoop();
  admission_.AddWorker();
  loops_.push_back(std::make_unique<StepLoop>(static_cast<int>(loops_.size()), attention,
                                              &admission_, events_.get(), observer_, options_,
                                              [this] { ReportRound(); }));
  if (started_) loops_.back()->Start();
}

std::vector<StepLoop*> Scheduler::loops() const {
  std::vector<StepLoop*> loops;
  const std::lock_guard<std::mutex> lock(loops_mutex_);
  for (const std::unique_ptr<StepLoop>& loop : loops_) loops.push_back(loop.get());
  return loops;
}

Scheduler::~Scheduler() {
  for (StepLoop* loop : loops()) loop->Stop();
  const absl::Time now = options_.clock();
  for (std::unique_ptr<Sequence>& sequence : admission_.TakeAll()) {
    loops().front()->End(std::move(sequence), absl::UnavailableError("the coordinator has stopped"),
                         now);
  }
}

void Scheduler::Start() {
  ReportRound();
  const std::lock_guard<std::mutex> lock(loops_mutex_);
  started_ = true;
  for (const std::unique_ptr<StepLoop>& loop : loops_) loop->Start();
}

absl::StatusOr<std::shared_ptr<TokenStream>> Scheduler::Submit(GenerationPlan plan,
                                                               absl::Time deadline) {
  const absl::Time now = options_.clock();
  if (now >= deadline) return PastDeadline();
  const int num_completions = plan.num_completions;
  if (num_completions > options_.max_running_requests) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_completions is ", num_completions, "; expected at most ",
                     options_.max_running_requests, ", which this server runs at once"));
  }
  const SequenceId first_id = next_id_.fetch_add(static_cast<SequenceId>(num_completions));
  std::shared_ptr<TokenStream> stream(new TokenStream(
                                          options_.stream_capacity_tokens,
                                          [events = events_, first_id, num_completions] {
                                            events->Note(first_id, num_completions);
                                          },
                                          num_completions),
                                      [open = open_streams_](TokenStream* ended) {
                                        delete ended;
                                        open->Remove();
                                      });
  // Streams that have ended but are not read to their end count here, so that clients which never
  // read cannot pile them up.
  const int64_t max_open =
      2 * (static_cast<int64_t>(loops().size()) * options_.max_running_requests +
           options_.max_waiting_requests);
  if (open_streams_->Add() > max_open) {
    observer_->OnRefused(Refusal::kUnreadStreams);
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", max_open,
                     " requests are open, with those whose clients have not read to the end; try "
                     "again later"));
  }
  std::vector<std::unique_ptr<Sequence>> completions;
  for (int i = 0; i < num_completions; ++i) {
    completions.push_back(std::make_unique<Sequence>(first_id + static_cast<SequenceId>(i),
                                                     PlanOfCompletion(plan, i), tokenizer_, stream,
                                                     now, deadline));
  }
  Refusal refusal{};
  const absl::Status entered = admission_.Enter(std::move(completions), refusal);
  if (entered.ok()) return stream;
  if (entered.code() == absl::StatusCode::kResourceExhausted) observer_->OnRefused(refusal);
  return entered;
}

void Scheduler::Drain(absl::Time deadline) {
  admission_.StartDrain(deadline);
  {
    const std::lock_guard<std::mutex> lock(loops_mutex_);
    steps_end_ = deadline;
  }
  for (StepLoop* loop : loops()) loop->EndStepsBy(deadline);
  // Ends: the step loops drop whatever is left once the deadline has passed.
  admission_.AwaitEmpty();
}

bool Scheduler::AwaitDelivered(absl::Time deadline) { return open_streams_->AwaitNone(deadline); }

bool Scheduler::RunOnce() {
  bool ran = false;
  for (StepLoop* loop : loops()) ran |= loop->RunOnce();
  return ran;
}

int64_t Scheduler::num_running() const {
  int64_t count = 0;
  for (const StepLoop* loop : loops()) count += loop->num_running();
  return count;
}

int64_t Scheduler::num_waiting() const {
  int64_t count = admission_.num_waiting();
  for (const StepLoop* loop : loops()) count += loop->num_siblings();
  return count;
}

void Scheduler::ReportRound() const {
  KvCacheUsage usage;
  for (const StepLoop* loop : loops()) {
    const KvCacheUsage one = loop->kv_cache_usage();
    usage.num_blocks += one.num_blocks;
    usage.num_free_blocks += one.num_free_blocks;
    usage.block_size = one.block_size;
  }
  observer_->OnEstimatedWait(
      admission_.EstimatedWait(/*priority=*/0).value_or(absl::ZeroDuration()));
  observer_->OnRound(num_running(), num_waiting(), usage);
}

}  // namespace tramontane
