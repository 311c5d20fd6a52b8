#include "expert_worker/merge_linger.h"

#include <cstddef>

namespace tramontane {

void MergeLinger::OnBatch(uint64_t stream, absl::Time now) {
  if (linger_ > absl::ZeroDuration()) last_batch_[stream] = now;
}

absl::Time MergeLinger::Until(absl::Time oldest_received, int num_streams_waiting, absl::Time now) {
  const absl::Time until = oldest_received + linger_;
  if (until <= now) return absl::InfinitePast();
  for (auto stream = last_batch_.begin(); stream != last_batch_.end();) {
    stream = now - stream->second > active_for_ ? last_batch_.erase(stream) : ++stream;
  }
  if (last_batch_.size() <= static_cast<size_t>(num_streams_waiting)) return absl::InfinitePast();
  return until;
}

}  // namespace tramontane
