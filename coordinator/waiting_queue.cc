#include "coordinator/waiting_queue.h"

#include "model/check.h"

namespace tramontane {

void WaitingQueue::Push(std::unique_ptr<Sequence> sequence, absl::Time expires) {
  const SequenceId id = sequence->id();
  const Precedence precedence = sequence->precedence();
  const bool inserted = by_id_.emplace(id, precedence).second;
  TRAMONTANE_CHECK(inserted);
  ++count_by_priority_[precedence.first];
  by_expiry_.emplace(expires, id);
  by_precedence_.emplace(precedence, Entry{std::move(sequence), expires});
}

const Sequence* WaitingQueue::First(const std::function<bool(const Sequence&)>& may_run) const {
  for (const auto& [precedence, entry] : by_precedence_) {
    if (may_run(*entry.sequence)) return entry.sequence.get();
  }
  return nullptr;
}

const Sequence* WaitingQueue::Find(SequenceId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : by_precedence_.at(found->second).sequence.get();
}

std::unique_ptr<Sequence> WaitingQueue::Take(SequenceId id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  const auto entry = by_precedence_.find(found->second);
  std::unique_ptr<Sequence> sequence = std::move(entry->second.sequence);
  const auto count = count_by_priority_.find(entry->first.first);
  if (--count->second == 0) count_by_priority_.erase(count);
  by_expiry_.erase({entry->second.expires, id});
  by_precedence_.erase(entry);
  by_id_.erase(found);
  return sequence;
}

std::vector<std::unique_ptr<Sequence>> WaitingQueue::TakeExpired(absl::Time now) {
  std::vector<std::unique_ptr<Sequence>> expired;
  while (next_expiry() <= now) expired.push_back(Take(by_expiry_.begin()->second));
  return expired;
}

std::vector<std::unique_ptr<Sequence>> WaitingQueue::TakeAll() {
  std::vector<std::unique_ptr<Sequence>> all;
  while (!by_precedence_.empty()) all.push_back(Take(by_precedence_.begin()->first.second));
  return all;
}

void WaitingQueue::VisitLower(int priority,
                              const std::function<bool(const Sequence&)>& visit) const {
  for (auto entry = by_precedence_.rbegin(); entry != by_precedence_.rend(); ++entry) {
    const Sequence& sequence = *entry->second.sequence;
    if (sequence.priority() >= priority || !visit(sequence)) return;
  }
}

size_t WaitingQueue::num_before(int priority) const {
  size_t before = 0;
  for (const auto& [negated, count] : count_by_priority_) {
    if (negated <= -priority) before += count;
  }
  return before;
}

absl::Time WaitingQueue::next_expiry() const {
  return by_expiry_.empty() ? absl::InfiniteFuture() : by_expiry_.begin()->first;
}

}  // namespace tramontane
