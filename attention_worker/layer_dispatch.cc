#include "attention_worker/layer_dispatch.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "attention_worker/worker_fault.h"
#include "model/log.h"

namespace tramontane {
namespace {

// More failures in one layer are no accident of single workers.
constexpr int kMaxFailures = 64;
// Nor are so many outages within one step, each of which a worker's return has ended.
constexpr int kMaxReturns = 3;
// A busy worker is asked again after so long, and so much longer after each refusal.
constexpr absl::Duration kBusyPause = absl::Milliseconds(20);
// How often to look for workers while answers are awaited as well, and else.
constexpr absl::Duration kShortLook = absl::Milliseconds(20);
constexpr absl::Duration kLongLook = absl::Seconds(1);
// What answers get to arrive once somebody waits for them: while attention ran, or this process did
// not, silence was not the workers'.
constexpr absl::Duration kWaitAtLeast = absl::Milliseconds(50);

bool Contains(const std::vector<const ExpertClient*>& clients, const ExpertClient* client) {
  return std::find(clients.begin(), clients.end(), client) != clients.end();
}

}  // namespace

LayerDispatch::LayerDispatch(DispatchTerms* terms, const RoutedTokens& routed,
                             const std::byte* rows, absl::Time deadline)
    : terms_(terms),
      routed_(routed),
      rows_{routed.layer, rows, std::make_shared<AnswerBox>(terms->options.arrivals)},
      deadline_(deadline) {
  num_missing_ = static_cast<size_t>(routed.num_tokens * routed.top_k);
  result_.expert_rows.resize(num_missing_);
  num_covers_.resize(num_missing_);
  uncovered_.resize(num_missing_);
  std::iota(uncovered_.begin(), uncovered_.end(), 0);
}

LayerDispatch::~LayerDispatch() {
  terms_->expert_wait.GiveUp(absl::Now());
  for (const ArrivedAnswer& arrived : rows_.box->Close()) {
    if (arrived.answer.ok()) terms_->late_answers->fetch_add(1);
  }
}

absl::Status LayerDispatch::Start() { return PlanUncovered(); }

absl::StatusOr<DispatchedRows> LayerDispatch::Await() {
  const absl::Time start = absl::Now();
  for (SentBatch& sent : sent_) sent.silent_at = std::max(sent.silent_at, start + kWaitAtLeast);
  while (num_missing_ > 0) {
    const absl::Status turn = TakeTurn();
    if (!turn.ok()) return Ended(turn);
  }
  const absl::Time end = absl::Now();
  if (trouble_since_ != absl::InfiniteFuture()) {
    terms_->observer->OnStall(routed_.layer, end - trouble_since_);
  }
  result_.wait = end - start;
  return std::move(result_);
}

// --- sending

std::vector<const ExpertClient*> LayerDispatch::Refusing() const {
  std::vector<const ExpertClient*> clients = excluded_;
  clients.insert(clients.end(), busy_.begin(), busy_.end());
  return clients;
}

DispatchPlan LayerDispatch::PlanElsewhere(const Slots& slots, const ExpertClient* client) const {
  std::vector<const ExpertClient*> unusable = Refusing();
  if (client != nullptr) unusable.push_back(client);
  for (const SentBatch& sent : sent_) {
    if (sent.silent && !sent.answered) unusable.push_back(sent.planned.client.get());
  }
  return PlanDispatch(routed_, slots, *placement_, unusable, absl::Now());
}

absl::Status LayerDispatch::PlanUncovered() {
  std::erase_if(uncovered_, [this](int32_t slot) { return result_.expert_rows[slot] != nullptr; });
  placement_ = terms_->directory->placement();
  DispatchPlan plan = PlanElsewhere(uncovered_, nullptr);
  if (!plan.missing_experts.empty()) {  // rather a worker that is silent than none
    plan = PlanDispatch(routed_, uncovered_, *placement_, Refusing(), absl::Now());
  }
  missing_experts_ = std::move(plan.missing_experts);
  terms_->expert_wait.OnPlacement(*placement_, absl::Now());
  return Send(std::move(plan.batches));
}

absl::Status LayerDispatch::Send(std::vector<PlannedBatch> batches) {
  for (PlannedBatch& planned : batches) {
    for (const int32_t slot : planned.slots) ++num_covers_[slot];
    absl::StatusOr<SentBatch> sent =
        SendBatch(*terms_, rows_, deadline_, std::move(planned), sent_.size());
    if (!sent.ok()) return sent.status();
    sent_.push_back(*std::move(sent));
  }
  std::erase_if(uncovered_, [this](int32_t slot) { return num_covers_[slot] > 0; });
  return absl::OkStatus();
}

// --- waiting

size_t LayerDispatch::num_awaited() const {
  return static_cast<size_t>(std::count_if(sent_.begin(), sent_.end(),
                                           [](const SentBatch& sent) { return !sent.answered; }));
}

absl::Time LayerDispatch::deadline() const { return std::min(deadline_, terms_->step_limit.Get()); }

absl::Time LayerDispatch::NextAlarm() const {
  absl::Time next = absl::InfiniteFuture();
  for (const SentBatch& sent : sent_) {
    if (!sent.answered) next = std::min({next, sent.silent_at, sent.hedge_at});
  }
  return next;
}

absl::Status LayerDispatch::TakeTurn() {
  absl::Time now = absl::Now();
  if (now >= deadline()) return PastDeadline();
  // Now and then, since the end of all steps may be set meanwhile.
  absl::Time until = std::min({NextAlarm(), deadline(), now + kLongLook});
  if (!uncovered_.empty()) {
    const absl::StatusOr<absl::Time> next_look = AwaitWorkers(now);
    if (!next_look.ok()) return next_look.status();
    until = std::min(until, *next_look);
  }
  // All together where all goes well, which wakes this thread once.
  const size_t count = uncovered_.empty() && !asked_twice_ ? num_awaited() : 1;
  for (ArrivedAnswer& arrived : rows_.box->TakeUntil(count, until)) {
    const absl::Status status = OnAnswer(std::move(arrived));
    if (!status.ok()) return status;
  }
  now = absl::Now();
  if (now > until + kWaitAtLeast) {
    for (SentBatch& sent : sent_) sent.silent_at = std::max(sent.silent_at, now + kWaitAtLeast);
  }
  if (now >= busy_until_) busy_.clear();
  if (!uncovered_.empty()) {
    const absl::Status planned = PlanUncovered();
    if (!planned.ok()) return planned;
  }
  return OnAlarms(now);
}

absl::StatusOr<absl::Time> LayerDispatch::AwaitWorkers(absl::Time now) {
  bool hosted = true;
  for (const int expert : missing_experts_) {
    const auto& replicas = placement_->Replicas(routed_.layer, expert);
    if (replicas.empty()) {
      hosted = false;
    } else if (std::all_of(replicas.begin(), replicas.end(), [this](const auto& client) {
                 return Contains(excluded_, client.get());
               })) {
      return last_failure_;  // all that there are have failed
    }
  }
  if (hosted) return busy_.empty() ? now : busy_until_;

  const absl::Time since = terms_->expert_wait.Enter(routed_.layer, missing_experts_, now);
  trouble_since_ = std::min(trouble_since_, since);
  if (terms_->expert_wait.num_returns() >= kMaxReturns) return LostAgainAndAgain();
  const absl::Time limit = since + terms_->options.expert_wait_timeout;
  if (now >= limit) return NoWorker(now - since);
  if (!slice_end_.has_value()) slice_end_ = now + terms_->options.expert_wait_slice;
  if (num_awaited() > 0) return now + kShortLook;
  if (now >= *slice_end_) return WaitsOn();
  const absl::Time until = std::min({now + kLongLook, *slice_end_, limit, deadline()});
  const auto newest = terms_->directory->AwaitChange(placement_, until);
  return newest != placement_ ? now : std::min(*slice_end_, absl::Now() + kShortLook);
}

absl::Status LayerDispatch::Ended(const absl::Status& status) {
  if (interrupted_ || status.code() != absl::StatusCode::kAborted) return status;
  // A worker's own word: given again, the step would end likewise.
  return absl::UnavailableError(status.message());
}

absl::Status LayerDispatch::WaitsOn() {
  interrupted_ = true;
  terms_->expert_wait.Interrupt(absl::Now());
  return absl::AbortedError(absl::StrCat("no expert worker hosts layer ", routed_.layer,
                                         " experts ", absl::StrJoin(missing_experts_, ", "),
                                         " yet; give the step again to wait on"));
}

absl::Status LayerDispatch::PastDeadline() const {
  std::vector<std::string> silent;
  for (const SentBatch& sent : sent_) {
    if (!sent.answered) silent.push_back(sent.planned.client->address());
  }
  return absl::DeadlineExceededError(
      absl::StrCat("the deadline of the step passed in layer ", routed_.layer,
                   silent.empty() ? "" : "; no answer yet from ", absl::StrJoin(silent, ", "),
                   last_failure_.ok() ? "" : "; before that: ", last_failure_.message()));
}

absl::Status LayerDispatch::NoWorker(absl::Duration waited) const {
  return absl::UnavailableError(
      absl::StrCat("no expert worker hosts layer ", routed_.layer,
                   missing_experts_.size() == 1 ? " expert " : " experts ",
                   absl::StrJoin(missing_experts_, ", "), ", and none came within ",
                   absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(1))),
                   "; start a worker with them, or wait for one to come back",
                   last_failure_.ok() ? "" : "; last failure: ", last_failure_.message()));
}

absl::Status LayerDispatch::LostAgainAndAgain() const {
  return absl::UnavailableError(absl::StrCat(
      "no expert worker hosts layer ", routed_.layer, " experts ",
      absl::StrJoin(missing_experts_, ", "), "; of those that came back ", kMaxReturns,
      " were lost before this step was done, so its rows are given up, which may be why; last "
      "failure: ",
      last_failure_.ok() ? "unknown" : last_failure_.message()));
}

// --- answers and failures

absl::Status LayerDispatch::OnAnswer(ArrivedAnswer arrived) {
  SentBatch& sent = sent_[arrived.batch];
  sent.answered = true;
  for (const int32_t slot : sent.covers) --num_covers_[slot];
  const PlannedBatch& batch = sent.planned;
  const absl::Status status =
      arrived.answer.ok()
          ? CheckAnswer(batch, *arrived.answer, terms_->hidden_size, terms_->options.row_dtype)
          : arrived.answer.status();
  terms_->observer->OnHop(batch.client->address(), routed_.layer, status,
                          arrived.answer.ok() ? arrived.answer->timing : HopTiming());
  if (!status.ok()) {
    return OnFailure(
        sent, absl::Status(status.code(), absl::StrCat("expert worker ", batch.client->address(),
                                                       ", layer ", routed_.layer, " experts ",
                                                       absl::StrJoin(batch.expert_ids, ", "), ": ",
                                                       status.message())));
  }
  terms_->silence_limit.OnAnswer();
  Fill(batch, *std::move(arrived.answer));
  return absl::OkStatus();
}

void LayerDispatch::Fill(const PlannedBatch& batch, ExpertBatchResult answer) {
  bool wanted = false;
  for (size_t pair = 0; pair < batch.slots.size(); ++pair) {
    const std::byte*& row = result_.expert_rows[batch.slots[pair]];
    if (row != nullptr) continue;
    row = answer.row_pointers[pair];
    --num_missing_;
    wanted = true;
  }
  if (wanted) {
    result_.owners.push_back(std::move(answer.owner));
  } else {
    terms_->late_answers->fetch_add(1);
  }
}

absl::Status LayerDispatch::OnFailure(const SentBatch& sent, const absl::Status& status) {
  last_failure_ = status;
  trouble_since_ = std::min(trouble_since_, sent.time);
  const absl::Time now = absl::Now();
  if (now >= deadline()) return PastDeadline();
  const std::shared_ptr<ExpertClient>& client = sent.planned.client;
  // Of many batches to a worker the first counts.
  bool news = true;
  switch (FaultOf(status)) {
    case WorkerFault::kBroken:
      news = !Contains(broken_, client.get());
      if (news) broken_.push_back(client.get());
      SetAside(client, status);
      break;
    case WorkerFault::kBusy:
      news = !Contains(busy_, client.get());
      if (news) busy_.push_back(client.get());
      busy_until_ = now + (num_failures_ + 1) * kBusyPause;
      break;
    case WorkerFault::kPerhapsOurs:
      if (++num_refusals_ > 1) {
        return absl::InternalError(
            absl::StrCat("two expert workers refused the same rows: ", status.message()));
      }
      excluded_.push_back(client.get());
      break;
  }
  if (news && ++num_failures_ > kMaxFailures) {
    return absl::Status(status.code(), absl::StrCat(status.message(), "; the last of ",
                                                    num_failures_, " failures in this layer"));
  }
  const size_t before = uncovered_.size();
  for (const int32_t slot : sent.covers) {
    if (num_covers_[slot] == 0 && result_.expert_rows[slot] == nullptr) uncovered_.push_back(slot);
  }
  if (uncovered_.size() == before) return absl::OkStatus();
  std::sort(uncovered_.begin(), uncovered_.end());
  const std::string reason = absl::StatusCodeToString(status.code());
  terms_->observer->OnRetry(client->address(), routed_.layer, reason);
  Log(LogLevel::kWarning, "rows go to another expert worker",
      {{"worker", client->address()},
       {"layer", routed_.layer},
       {"reason", reason},
       {"message", status.message()}});
  return absl::OkStatus();
}

bool LayerDispatch::SetAside(const std::shared_ptr<ExpertClient>& client,
                             const absl::Status& reason) {
  if (Contains(excluded_, client.get()) ||
      !Hosts(*terms_->directory->placement(), routed_.layer, client.get())) {
    return false;
  }
  terms_->directory->SetAside(client, reason);
  terms_->observer->OnSetAside(client->address(), reason);
  if (Hosts(*terms_->directory->placement(), routed_.layer, client.get())) {
    excluded_.push_back(client.get());
  }
  return true;
}

}  // namespace tramontane
