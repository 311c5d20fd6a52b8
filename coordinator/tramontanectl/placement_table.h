// A placement as people read it.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_TABLE_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_TABLE_H_

#include <string>
#include <vector>

#include "proto/placement.pb.h"

namespace tramontane {

// What one process answered.
struct ProcessPlacement {
  std::string address;  // of whom was asked
  std::string error;    // why there is no answer; empty where there is one
  v1::GetPlacementResponse placement;
};

// "connecting", "set_aside", …
std::string StateName(v1::PlacedWorkerState state);
// "0-3", "0-15:0-3, 16-31:4-7": experts, with their layers unless those are all of them.
std::string ExpertsText(const v1::PlacedExpertWorker& worker, uint32_t num_layers);

// A table for each process, with a line for each worker and, below, what has the fewest replicas.
std::string PlacementTable(const std::vector<ProcessPlacement>& processes);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_TABLE_H_
