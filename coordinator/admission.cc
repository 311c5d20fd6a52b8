#include "coordinator/admission.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/retry_hint.h"

namespace tramontane {
namespace {

// A retry hint where nothing is measured yet, and the bounds of one that is.
constexpr absl::Duration kUnmeasuredRetry = absl::Seconds(1);
constexpr absl::Duration kShortestRetry = absl::Milliseconds(10);
constexpr absl::Duration kLongestRetry = absl::Seconds(60);

std::string Rounded(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(100)));
}

}  // namespace

Admission::Admission(int kv_block_size, std::shared_ptr<StreamEvents> events,
                     const SchedulerOptions& options)
    : options_(options),
      events_(std::move(events)),
      placement_(0, kv_block_size),
      limits_(options) {}

void Admission::AddWorker() {
  const std::lock_guard<std::mutex> lock(mutex_);
  loads_.Add();
  placement_.AddWorker();
}

int64_t Admission::MissingPlacesLocked(size_t num_completions, absl::Time now) const {
  const int64_t places =
      options_.max_waiting_requests +
      loads_.NumFreePlaces(options_.max_running_requests, options_.moment_away, now);
  const auto wanted = static_cast<int64_t>(waiting_.size() + num_completions);
  return std::max<int64_t>(0, wanted - places);
}

bool Admission::MayBeDisplacedLocked(SequenceId id) const {
  const Sequence* sequence = waiting_.Find(id);
  return sequence != nullptr && !sequence->started().has_value() && !sequence->worker().has_value();
}

std::vector<SequenceId> Admission::FindVictimsLocked(int priority, int64_t missing) const {
  std::vector<SequenceId> victims;
  waiting_.VisitLower(priority, [&](const Sequence& sequence) {
    // A request as a whole: the first completion is the last of them to be visited.
    if (sequence.id() != sequence.first_id()) return true;
    const int count = sequence.num_completions();
    for (int i = 0; i < count; ++i) {
      if (!MayBeDisplacedLocked(sequence.first_id() + static_cast<SequenceId>(i))) return true;
    }
    victims.push_back(sequence.first_id());
    missing -= count;
    return missing > 0;
  });
  if (missing > 0) victims.clear();
  return victims;
}

void Admission::DisplaceLocked(const std::vector<SequenceId>& victims, int priority,
                               absl::Time now) {
  for (const SequenceId first_id : victims) {
    const Sequence& first = *waiting_.Find(first_id);
    const int count = first.num_completions();
    const absl::Status status = WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(
            "the waiting queue (limit ", options_.max_waiting_requests,
            ") was full when a request of priority ", priority, " came, and this one of priority ",
            first.priority(), " was the last of the lowest priority; try again later")),
        TakeRetrySlotLocked(absl::ZeroDuration(), now));
    for (int i = 0; i < count; ++i) {
      std::unique_ptr<Sequence> taken = waiting_.Take(first_id + static_cast<SequenceId>(i));
      taken->displaced = true;
      displaced_.emplace_back(std::move(taken), status);
    }
  }
}

absl::Status Admission::QueueFullLocked(size_t num_completions, absl::Time now) {
  absl::Status full = absl::ResourceExhaustedError(absl::StrCat(
      "the waiting queue is full: ", loads_.num_running(), " requests run, ", waiting_.size(),
      " wait (limit ", options_.max_waiting_requests, ")",
      num_completions > 1
          ? absl::StrCat("; no room for ", num_completions, " completions, each of which counts")
          : "",
      "; try again later"));
  return WithRetryAfter(std::move(full), TakeRetrySlotLocked(absl::ZeroDuration(), now));
}

absl::Status Admission::CheckWaitLocked(const Sequence& sequence, size_t num_completions,
                                        absl::Time now) {
  const std::optional<absl::Duration> wait =
      EstimateLocked(sequence.priority(), num_completions, now);
  const absl::Duration left = limits_.ExpiryOf(sequence) - now;
  if (!wait.has_value() || *wait <= left) return absl::OkStatus();
  const bool own_deadline = sequence.deadline() - now <= left;
  return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                            "the request would wait for about ", Rounded(*wait), " behind ",
                            waiting_.num_before(sequence.priority()), " others, but ",
                            own_deadline ? "its deadline is in " : "none may wait for longer than ",
                            Rounded(left), "; try again later or elsewhere")),
                        TakeRetrySlotLocked(*wait - left, now));
}

std::optional<absl::Duration> Admission::EstimateLocked(int priority, size_t num_completions,
                                                        absl::Time now) const {
  if (loads_.HavePlace(now)) return absl::ZeroDuration();
  const std::optional<double> rate = drain_rate_.PerSecond(now);
  if (!rate.has_value()) return std::nullopt;
  return absl::Seconds(static_cast<double>(waiting_.num_before(priority) + num_completions) /
                       *rate);
}

std::optional<absl::Duration> Admission::EstimatedWait(int priority) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return EstimateLocked(priority, 1, options_.clock());
}

absl::Duration Admission::TakeRetrySlotLocked(absl::Duration at_least, absl::Time now) {
  const std::optional<double> rate = drain_rate_.PerSecond(now);
  if (!rate.has_value()) return kUnmeasuredRetry;
  last_retry_slot_ =
      std::min(std::max(last_retry_slot_, now) + absl::Seconds(1 / *rate), now + kLongestRetry);
  return std::clamp(std::max(at_least, last_retry_slot_ - now), kShortestRetry, kLongestRetry);
}

void Admission::NoteSaturationLocked(absl::Time now) {
  drain_rate_.SetSaturated(!loads_.HavePlace(now) && !waiting_.empty(), now);
}

absl::Status Admission::Enter(std::vector<std::unique_ptr<Sequence>> completions,
                              Refusal& refusal) {
  // Not a later one, at which their deadline may have passed: that would be no lack of room.
  const absl::Time now = completions.front()->arrival();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return ShuttingDown();
    const int priority = completions.front()->priority();
    // More may wait than there are places for, since a worker was lost: that is not theirs to mend.
    const int64_t missing = std::min(MissingPlacesLocked(completions.size(), now),
                                     static_cast<int64_t>(completions.size()));
    const std::vector<SequenceId> victims =
        missing > 0 ? FindVictimsLocked(priority, missing) : std::vector<SequenceId>();
    refusal = Refusal::kQueueFull;
    if (missing > 0 && victims.empty()) return QueueFullLocked(completions.size(), now);
    refusal = Refusal::kWaitTooLong;
    const absl::Status wait = CheckWaitLocked(*completions.front(), completions.size(), now);
    if (!wait.ok()) return wait;
    DisplaceLocked(victims, priority, now);
    num_inside_ += static_cast<int64_t>(completions.size());
    for (std::unique_ptr<Sequence>& sequence : completions) PushLocked(std::move(sequence));
    NoteSaturationLocked(now);
  }
  events_->WakeAll();
  return absl::OkStatus();
}

void Admission::SetLoad(int worker, const AttentionLoad& load) {
  bool woke = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const absl::Time now = options_.clock();
    const AttentionLoad before = loads_.Set(worker, load, now);
    // What it leaves may be somebody else's now.
    woke = before.ready && !load.ready && loads_.size() > 1 && !waiting_.empty();
    NoteSaturationLocked(now);
    if (limits_.NoteNoneServes(loads_.none_serves_since())) UpdateExpiriesLocked();
  }
  if (woke) events_->WakeAllBut(worker);
}

void Admission::Expect(int worker, absl::Time due) {
  const std::lock_guard<std::mutex> lock(mutex_);
  loads_.Expect(worker, due);
}

bool Admission::OthersServe(int worker) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return loads_.OthersServe(worker);
}

std::unique_ptr<Sequence> Admission::Next(int worker) {
  std::unique_ptr<Sequence> taken;
  bool others_turn = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<SequenceId> stalled;
    const Sequence* next = waiting_.First([&stalled](const Sequence& sequence) {
      if (!sequence.stream().full()) return true;
      if (!sequence.stalled_since.has_value()) stalled.push_back(sequence.id());
      return false;
    });
    for (const SequenceId id : stalled) MarkStalledLocked(id);
    if (next == nullptr || ChooseWorkerLocked(*next) != worker) return nullptr;
    placement_.Record(next->token_ids(), worker);
    taken = waiting_.Take(next->id());
    for (int i = 0; i < taken->num_completions(); ++i) {
      const SequenceId id = taken->first_id() + static_cast<SequenceId>(i);
      if (std::unique_ptr<Sequence> sibling = waiting_.Take(id)) {
        taken->siblings.push_back(std::move(sibling));
      }
    }
    loads_.AddRunning(worker, 1 + static_cast<int>(taken->siblings.size()));
    others_turn = loads_.size() > 1 && !waiting_.empty();
  }
  if (others_turn) events_->WakeAllBut(worker);
  return taken;
}

int Admission::ChooseWorkerLocked(const Sequence& sequence) {
  const std::vector<AttentionLoad> candidates = loads_.Candidates(options_.clock());
  const std::optional<int> joined = sequence.worker();
  if (joined.has_value() && candidates[static_cast<size_t>(*joined)].ready) return *joined;
  return placement_.Choose(sequence.token_ids(), candidates);
}

void Admission::MarkStalledLocked(SequenceId id) {
  std::unique_ptr<Sequence> sequence = waiting_.Take(id);
  sequence->stalled_since = options_.clock();
  PushLocked(std::move(sequence));
}

void Admission::ReleaseSiblings(Sequence& sequence, int worker) {
  std::vector<std::unique_ptr<Sequence>> siblings = std::exchange(sequence.siblings, {});
  const absl::Time now = options_.clock();
  const std::lock_guard<std::mutex> lock(mutex_);
  loads_.AddRunning(worker, -static_cast<int>(siblings.size()));
  for (std::unique_ptr<Sequence>& sibling : siblings) {
    sibling->JoinWorker(worker);
    sibling->waiting_since = now;
    PushLocked(std::move(sibling));
  }
}

void Admission::Return(std::unique_ptr<Sequence> sequence) {
  std::vector<std::unique_ptr<Sequence>> returned = std::exchange(sequence->siblings, {});
  returned.push_back(std::move(sequence));
  const absl::Time now = options_.clock();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::unique_ptr<Sequence>& one : returned) {
    one->waiting_since = now;
    PushLocked(std::move(one));
  }
}

void Admission::PushLocked(std::unique_ptr<Sequence> sequence) {
  // Again: the first note may have come while it did not wait here.
  if (!sequence->stream().cancelled().ok()) events_->Note(sequence->id());
  const absl::Time expiry = limits_.ExpiryOf(*sequence);
  waiting_.Push(std::move(sequence), expiry);
}

void Admission::UpdateExpiriesLocked() {
  for (std::unique_ptr<Sequence>& sequence : waiting_.TakeAll()) {
    const absl::Time expiry = limits_.ExpiryOf(*sequence);
    waiting_.Push(std::move(sequence), expiry);
  }
}

absl::Time Admission::DeadlineOf(const Sequence& sequence) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return limits_.DeadlineOf(sequence);
}

absl::Status Admission::ReasonToLeave(const Sequence& sequence, bool waiting,
                                      absl::Time now) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ReasonLocked(sequence, waiting, now);
}

absl::Status Admission::ReasonLocked(const Sequence& sequence, bool waiting, absl::Time now) const {
  const auto has_waited = [&] {
    if (loads_.none_serves_since() <= now) return loads_.NoneServes();
    return WithRetryAfter(
        limits_.HasWaited(),
        std::clamp(EstimateLocked(sequence.priority(), 1, now).value_or(kUnmeasuredRetry),
                   kShortestRetry, kLongestRetry));
  };
  return limits_.ReasonToLeave(sequence, waiting, now, has_waited);
}

std::vector<Admission::Ended> Admission::TakeEnded(absl::Time now) {
  const std::unordered_set<SequenceId> noted = events_->Take();
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Ended> ended = std::exchange(displaced_, {});
  std::vector<std::unique_ptr<Sequence>> suspects;
  for (const SequenceId id : noted) {
    const Sequence* sequence = waiting_.Find(id);
    if (sequence == nullptr) continue;
    // Noted because it is cancelled, or because its reader has made room.
    if (!sequence->stream().cancelled().ok() || sequence->stalled_since.has_value()) {
      suspects.push_back(waiting_.Take(id));
    }
  }
  for (std::unique_ptr<Sequence>& sequence : waiting_.TakeExpired(now)) {
    suspects.push_back(std::move(sequence));
  }
  for (std::unique_ptr<Sequence>& sequence : suspects) {
    absl::Status reason = ReasonLocked(*sequence, /*waiting=*/true, now);
    if (reason.ok()) {
      // It is not stalled any more.
      sequence->stalled_since.reset();
      PushLocked(std::move(sequence));
    } else {
      ended.emplace_back(std::move(sequence), std::move(reason));
    }
  }
  return ended;
}

void Admission::Left(bool started) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (started) drain_rate_.OnDeparture(options_.clock());
  if (--num_inside_ == 0) empty_.notify_all();
}

void Admission::StartDrain(absl::Time deadline) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;
    limits_.EndBy(deadline);
    UpdateExpiriesLocked();
  }
  events_->WakeAll();
}

void Admission::AwaitEmpty() {
  std::unique_lock<std::mutex> lock(mutex_);
  empty_.wait(lock, [this] { return num_inside_ == 0; });
}

std::vector<std::unique_ptr<Sequence>> Admission::TakeAll() {
  const std::lock_guard<std::mutex> lock(mutex_);
  draining_ = true;
  std::vector<std::unique_ptr<Sequence>> all = waiting_.TakeAll();
  for (Ended& ended : std::exchange(displaced_, {})) all.push_back(std::move(ended.first));
  return all;
}

int64_t Admission::num_waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

absl::Time Admission::next_expiry() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.next_expiry();
}

}  // namespace tramontane
