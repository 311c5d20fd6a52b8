// A capacity plan as values of the Helm chart, helm/tramontane.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_VALUES_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_VALUES_H_

#include <string>

#include "coordinator/capacity/capacity_plan.h"

namespace tramontane {

// YAML: the model's sizes, shards, replicas, memory, threads, KV cache and limits of requests.
// Where the model is, and all else, is for another file of values beside it.
std::string PlanValues(const CapacityPlan& plan);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_VALUES_H_
