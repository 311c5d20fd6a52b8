// How the experts are divided among workers.
#ifndef TRAMONTANE_COORDINATOR_CAPACITY_EXPERT_SHARDS_H_
#define TRAMONTANE_COORDINATOR_CAPACITY_EXPERT_SHARDS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/capacity/capacity_request.h"
#include "coordinator/capacity/process_memory.h"

namespace tramontane {

// The fewest blocks that cover every (layer, expert) once, each of which fits into `usable_bytes`
// with what else an expert worker takes; as even as can be. All layers stay together where one
// expert of every layer fits, so that every worker works on every layer; else layers are cut too,
// and of divisions into equally many the one with the fewest experts a block is taken.
// FAILED_PRECONDITION where not even one expert of one layer fits, or splitting is not allowed.
absl::StatusOr<std::vector<ExpertBlock>> DivideExperts(const CapacityRequest& request,
                                                       int64_t usable_bytes, int64_t num_attention);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_CAPACITY_EXPERT_SHARDS_H_
