// A placement as scripts read it.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_JSON_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_JSON_H_

#include <string>
#include <vector>

#include "coordinator/tramontanectl/placement_table.h"

namespace tramontane {

// {"processes": [{"address": …, "error": … or the fields of GetPlacementResponse}]}, indented, with
// every field, and states by their short names.
std::string PlacementJson(const std::vector<ProcessPlacement>& processes);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLACEMENT_JSON_H_
