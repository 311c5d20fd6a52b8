// The flags of `tramontanectl plan`.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_FLAGS_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/capacity/capacity_request.h"
#include "coordinator/capacity/decode_bound.h"

namespace tramontane {

struct PlanFlags {
  std::string model;  // a directory, or a config.json
  std::string values_out;
  ReadBandwidth bandwidth;  // zeros where it is not given
  double tokens_per_s = 0;  // 0: no such demand
  CapacityRequest request;  // but for its model
};

// INVALID_ARGUMENT naming the flag.
absl::StatusOr<PlanFlags> PlanFromFlags();

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_FLAGS_H_
