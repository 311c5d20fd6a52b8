#include "coordinator/time_limits.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tramontane {
namespace {

// A status message travels in an HTTP header; servers and clients accept 8 KiB of those.
constexpr size_t kMaxTroubles = 4;
constexpr size_t kMaxTroubleBytes = 1500;

}  // namespace

absl::Status PastDeadline() {
  return absl::DeadlineExceededError("the request's deadline passed before it was finished");
}

absl::Status ShuttingDown() {
  return absl::UnavailableError("the coordinator is shutting down; ask another one");
}

absl::Status NoneIsReady(std::vector<std::string> troubles) {
  const size_t num_troubles = troubles.size();
  if (num_troubles > kMaxTroubles) {
    troubles.resize(kMaxTroubles);
    troubles.push_back(absl::StrCat("and ", num_troubles - kMaxTroubles, " more"));
  }
  for (std::string& trouble : troubles) {
    if (trouble.size() > kMaxTroubleBytes) trouble.resize(kMaxTroubleBytes);
  }
  return absl::UnavailableError(
      absl::StrCat("no attention worker is ready: ", absl::StrJoin(troubles, "; ")));
}

absl::Status TimeLimits::HasWaited() const {
  return absl::ResourceExhaustedError(absl::StrCat("waited for ",
                                                   absl::FormatDuration(options_.queue_timeout),
                                                   " and could not start; try again later"));
}

void TimeLimits::EndBy(absl::Time drain_deadline) {
  drain_deadline_ = std::min(drain_deadline_, drain_deadline);
}

bool TimeLimits::NoteNoneServes(absl::Time since) {
  return std::exchange(none_serves_since_, since) != since;
}

bool TimeLimits::LimitsQueueTime(const Sequence& sequence) const {
  return options_.queue_timeout > absl::ZeroDuration() && !sequence.started().has_value() &&
         !sequence.worker().has_value();
}

absl::Time TimeLimits::EndOfPatience(const Sequence& sequence) const {
  if (options_.queue_timeout <= absl::ZeroDuration()) return absl::InfiniteFuture();
  return std::max(none_serves_since_, sequence.waiting_since) + options_.queue_timeout;
}

absl::Time TimeLimits::DeadlineOf(const Sequence& sequence) const {
  return std::min(sequence.deadline(), drain_deadline_);
}

absl::Time TimeLimits::ExpiryOf(const Sequence& sequence) const {
  absl::Time expiry = DeadlineOf(sequence);
  expiry = std::min(expiry, LimitsQueueTime(sequence) ? sequence.arrival() + options_.queue_timeout
                                                      : EndOfPatience(sequence));
  if (sequence.lost_since().has_value() && options_.queue_timeout > absl::ZeroDuration()) {
    expiry = std::min(expiry, *sequence.lost_since() + options_.queue_timeout);
  }
  if (sequence.stalled_since.has_value()) {
    expiry = std::min(expiry, *sequence.stalled_since + options_.slow_client_timeout);
  }
  return expiry;
}

absl::Status TimeLimits::ReasonToLeave(const Sequence& sequence, bool waiting, absl::Time now,
                                       const std::function<absl::Status()>& has_waited) const {
  if (absl::Status cancelled = sequence.stream().cancelled(); !cancelled.ok()) return cancelled;
  if (now >= sequence.deadline()) return PastDeadline();
  if (now >= drain_deadline_) return ShuttingDown();
  if (waiting) {
    absl::Status reason = ReasonToWaitNoMore(sequence, now, has_waited);
    if (!reason.ok()) return reason;
  }
  if (sequence.stalled_since.has_value() && sequence.stream().full() &&
      now - *sequence.stalled_since >= options_.slow_client_timeout) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the client has left ", options_.stream_capacity_tokens, " tokens unread for ",
                     absl::FormatDuration(options_.slow_client_timeout)));
  }
  return absl::OkStatus();
}

absl::Status TimeLimits::ReasonToWaitNoMore(const Sequence& sequence, absl::Time now,
                                            const std::function<absl::Status()>& has_waited) const {
  const std::string timeout = absl::FormatDuration(options_.queue_timeout);
  if (LimitsQueueTime(sequence) && now - sequence.arrival() >= options_.queue_timeout) {
    return has_waited();
  }
  if (sequence.lost_since().has_value() && options_.queue_timeout > absl::ZeroDuration() &&
      now - *sequence.lost_since() >= options_.queue_timeout) {
    return absl::UnavailableError(absl::StrCat(
        "its attention worker was lost, and none has taken the request within ", timeout));
  }
  if (!LimitsQueueTime(sequence) && now >= EndOfPatience(sequence)) {
    return absl::UnavailableError(
        absl::StrCat("no attention worker could go on with the request within ", timeout));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
