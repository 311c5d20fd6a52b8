// Experts on the same backend as attention, which need no dispatch.
#ifndef TRAMONTANE_ATTENTION_WORKER_LOCAL_EXPERTS_H_
#define TRAMONTANE_ATTENTION_WORKER_LOCAL_EXPERTS_H_

#include <vector>

#include "kernels/packed_matrix.h"

namespace tramontane {

// [num_layers][num_experts], none of them null: a step's layers are queued one after the other, and
// the host waits for none of them.
using LocalExperts = std::vector<std::vector<const PackedExpert*>>;

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_LOCAL_EXPERTS_H_
