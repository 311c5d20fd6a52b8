// How long a batch waits for others that it could be computed with.
#ifndef TRAMONTANE_EXPERT_WORKER_MERGE_LINGER_H_
#define TRAMONTANE_EXPERT_WORKER_MERGE_LINGER_H_

#include <cstdint>
#include <map>

#include "absl/time/time.h"

namespace tramontane {

// Not thread-safe. Reads no clock: the caller says what time it is.
class MergeLinger {
 public:
  // `linger`: what a batch waits at most; zero: it never waits. A stream is active for `active_for`
  // after each of its batches.
  MergeLinger(absl::Duration linger, absl::Duration active_for)
      : linger_(linger), active_for_(active_for) {}

  void OnBatch(uint64_t stream, absl::Time now);

  // Until when the oldest batch shall wait for more; `now` or before it: not at all. It waits while
  // fewer streams have batches waiting than are active: a stream whose batch waits, of whatever
  // layer, is not about to send another.
  absl::Time Until(absl::Time oldest_received, int num_streams_waiting, absl::Time now);

 private:
  const absl::Duration linger_;
  const absl::Duration active_for_;
  std::map<uint64_t, absl::Time> last_batch_;  // by stream
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_MERGE_LINGER_H_
