#include "coordinator/attention_loads.h"

#include <algorithm>
#include <string>
#include <utility>

#include "coordinator/time_limits.h"

namespace tramontane {

void AttentionLoads::Add() { workers_.emplace_back(); }

AttentionLoad AttentionLoads::Set(int worker, const AttentionLoad& load, absl::Time now) {
  const AttentionLoad before = std::exchange(at(worker).load, load);
  if (before.readiness.ok() != load.readiness.ok()) {
    at(worker).lost = load.readiness.ok() ? absl::InfiniteFuture() : now;
  }
  return before;
}

std::vector<AttentionLoad> AttentionLoads::Candidates(absl::Time now) const {
  const bool any_in_time = std::any_of(workers_.begin(), workers_.end(), [now](const Worker& one) {
    return one.load.ready && now < one.due;
  });
  std::vector<AttentionLoad> candidates;
  for (const Worker& worker : workers_) {
    AttentionLoad& candidate = candidates.emplace_back(worker.load);
    if (any_in_time && now >= worker.due) candidate.ready = false;
  }
  return candidates;
}

bool AttentionLoads::HavePlace(absl::Time now) const {
  bool late_has_place = false;
  bool any_in_time = false;
  for (const Worker& worker : workers_) {
    const bool late = now >= worker.due;
    if (worker.load.ready && !late) return true;
    late_has_place |= worker.load.ready;
    any_in_time |= worker.load.readiness.ok() && !late;
  }
  return late_has_place && !any_in_time;
}

bool AttentionLoads::OthersServe(int worker) const {
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].load.readiness.ok() && i != static_cast<size_t>(worker)) return true;
  }
  return false;
}

absl::Time AttentionLoads::none_serves_since() const {
  absl::Time since = absl::InfinitePast();
  for (const Worker& worker : workers_) since = std::max(since, worker.lost);
  return since;
}

absl::Status AttentionLoads::NoneServes() const {
  std::vector<std::string> troubles;
  for (const Worker& worker : workers_) {
    if (!worker.load.readiness.ok()) troubles.emplace_back(worker.load.readiness.message());
  }
  return NoneIsReady(std::move(troubles));
}

int64_t AttentionLoads::NumFreePlaces(int max_running, absl::Duration moment,
                                      absl::Time now) const {
  int64_t places = 0;
  for (const Worker& worker : workers_) {
    if (now - worker.lost < moment) places += max_running - worker.load.num_running;
  }
  return places;
}

int64_t AttentionLoads::num_running() const {
  int64_t count = 0;
  for (const Worker& worker : workers_) count += worker.load.num_running;
  return count;
}

}  // namespace tramontane
