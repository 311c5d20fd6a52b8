// A capacity plan as people read it.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_TABLE_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_TABLE_H_

#include <string>
#include <vector>

#include "coordinator/capacity/capacity_plan.h"
#include "coordinator/capacity/decode_bound.h"

namespace tramontane {

// Tables of the processes with their memory, the flags that they are to be started with, totals,
// and the bounds of speed, if any.
std::string PlanTable(const CapacityPlan& plan, const std::vector<DecodeBound>& bounds);

// The flag --experts of a shard's workers: "0-3", "0-15:0".
std::string ExpertsFlag(const ExpertBlock& block, int num_layers);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_TABLE_H_
