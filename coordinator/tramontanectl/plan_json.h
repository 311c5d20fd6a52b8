// A capacity plan for scripts.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_JSON_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_JSON_H_

#include <string>
#include <vector>

#include "coordinator/capacity/capacity_plan.h"
#include "coordinator/capacity/decode_bound.h"

namespace tramontane {

// One JSON object; sizes in bytes, each process's memory item by item.
std::string PlanJson(const CapacityPlan& plan, const std::vector<DecodeBound>& bounds);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_JSON_H_
