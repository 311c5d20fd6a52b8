// How fast decoding can be at most, by what has to be read.
#ifndef TRAMONTANE_COORDINATOR_CAPACITY_DECODE_BOUND_H_
#define TRAMONTANE_COORDINATOR_CAPACITY_DECODE_BOUND_H_

#include <cstdint>

#include "coordinator/capacity/capacity_plan.h"

namespace tramontane {

// Bytes a second that one process reads from its memory, measured (docs/benchmarks.md).
struct ReadBandwidth {
  double expert_worker = 0;
  double attention = 0;
};

// Of one step, in which each user who decodes gets one token.
struct DecodeBound {
  int64_t users = 0;
  double expert_bytes = 0;     // of weights that all expert workers read
  double attention_bytes = 0;  // of weights and of keys and values, one attention process
  double step_seconds = 0;
  double tokens_per_second = 0;  // of all users
};

// For `users` who decode at once, all contexts full, experts chosen evenly. It counts reads alone,
// as if each were at the full bandwidth and shared by all replicas: the network, arithmetic and
// uneven routing make real steps longer, never shorter. Attention and experts take turns where one
// process runs attention, and overlap where several do.
DecodeBound BoundDecode(const CapacityPlan& plan, const ReadBandwidth& bandwidth, int64_t users);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_CAPACITY_DECODE_BOUND_H_
