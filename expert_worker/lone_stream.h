// Whether a single stream sends batches.
#ifndef TRAMONTANE_EXPERT_WORKER_LONE_STREAM_H_
#define TRAMONTANE_EXPERT_WORKER_LONE_STREAM_H_

#include <cstdint>

#include "absl/time/time.h"

namespace tramontane {

// Not thread-safe. Reads no clock: the caller says what time it is.
class LoneStream {
 public:
  // A stream is active for `active_for` after each of its batches.
  explicit LoneStream(absl::Duration active_for) : active_for_(active_for) {}

  void OnBatch(uint64_t stream, absl::Time now) {
    if (stream != stream_) {
      others_until_ = until_;
      stream_ = stream;
    }
    until_ = now + active_for_;
  }

  // Whether the stream of the last batch is the only one that is active.
  bool IsAlone(absl::Time now) const { return now >= others_until_; }

 private:
  const absl::Duration active_for_;
  uint64_t stream_ = 0;  // of the last batch
  absl::Time until_ = absl::InfinitePast();
  absl::Time others_until_ = absl::InfinitePast();
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_LONE_STREAM_H_
