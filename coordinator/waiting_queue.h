// Sequences that wait to run.
#ifndef TRAMONTANE_COORDINATOR_WAITING_QUEUE_H_
#define TRAMONTANE_COORDINATOR_WAITING_QUEUE_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/sequence.h"

namespace tramontane {

// In order of precedence: the higher priority first, then who came first. A sequence that comes
// back after a preemption gets its old place. What it costs does not depend on how many wait, but
// for a logarithm. Not thread-safe.
class WaitingQueue {
 public:
  // `expires`: when the sequence is to be looked at by TakeExpired.
  void Push(std::unique_ptr<Sequence> sequence, absl::Time expires);

  // Of the sequences for which `may_run` holds, the first; null where there is none. Goes on past
  // those for which it does not hold, so these must be few.
  const Sequence* First(const std::function<bool(const Sequence&)>& may_run) const;

  // The sequence, taken out; null where it does not wait.
  std::unique_ptr<Sequence> Take(SequenceId id);
  std::vector<std::unique_ptr<Sequence>> TakeExpired(absl::Time now);
  std::vector<std::unique_ptr<Sequence>> TakeAll();

  const Sequence* Find(SequenceId id) const;
  // Those of a lower priority than `priority`, the last first, as long as `visit` returns true.
  void VisitLower(int priority, const std::function<bool(const Sequence&)>& visit) const;
  // How many wait that run before one of `priority` which comes now.
  size_t num_before(int priority) const;
  size_t size() const { return by_precedence_.size(); }
  bool empty() const { return by_precedence_.empty(); }
  // When the next one expires; the infinite future where there is none.
  absl::Time next_expiry() const;

 private:
  struct Entry {
    std::unique_ptr<Sequence> sequence;
    absl::Time expires;
  };
  std::map<Precedence, Entry> by_precedence_;
  std::map<int, size_t> count_by_priority_;  // keyed by the negated priority
  std::unordered_map<SequenceId, Precedence> by_id_;
  std::set<std::pair<absl::Time, SequenceId>> by_expiry_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_WAITING_QUEUE_H_
