// What the attention workers do, as their step loops tell.
#ifndef TRAMONTANE_COORDINATOR_ATTENTION_LOADS_H_
#define TRAMONTANE_COORDINATOR_ATTENTION_LOADS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/attention_placement.h"

namespace tramontane {

// Of all workers, by their index. Only a worker's own loop tells of it, so what is known of one
// whose loop hangs is old: it is late. Not thread-safe.
class AttentionLoads {
 public:
  void Add();  // a worker, not ready
  size_t size() const { return workers_.size(); }

  // Returns what was known before.
  AttentionLoad Set(int worker, const AttentionLoad& load, absl::Time now);
  // So many sequences more run there.
  void AddRunning(int worker, int count) { at(worker).load.num_running += count; }
  // The worker is late once `due` has passed, until it is expected anew.
  void Expect(int worker, absl::Time due) { at(worker).due = due; }

  // Those that may take a sequence are ready: where any is that is not late, none that is late.
  std::vector<AttentionLoad> Candidates(absl::Time now) const;
  // Whether a sequence that comes now is to start at once. That is not said of late workers while
  // others serve.
  bool HavePlace(absl::Time now) const;

  bool OthersServe(int worker) const;
  // Since when none serves; the infinite future where one does.
  absl::Time none_serves_since() const;
  absl::Status NoneServes() const;  // UNAVAILABLE saying of each why not
  // Of those that serve, or did less than `moment` ago, places for `max_running` sequences each
  // that are free.
  int64_t NumFreePlaces(int max_running, absl::Duration moment, absl::Time now) const;
  int64_t num_running() const;

 private:
  struct Worker {
    AttentionLoad load;
    absl::Time lost = absl::InfiniteFuture();  // since when it does not serve
    absl::Time due = absl::InfiniteFuture();
  };
  Worker& at(int worker) { return workers_[static_cast<size_t>(worker)]; }

  std::vector<Worker> workers_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_ATTENTION_LOADS_H_
