// What can go wrong: each scenario breaks something of a system under load.
#ifndef TRAMONTANE_TESTS_CHAOS_SCENARIO_H_
#define TRAMONTANE_TESTS_CHAOS_SCENARIO_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/chaos/chaos_cluster.h"

namespace tramontane {

struct Scenario {
  std::string name;         // "kill-expert-worker"
  std::string description;  // a line for the table
  ChaosClusterOptions system;
  // The longest stall of any stream that is wanted; infinite: as long as the fault lasts.
  absl::Duration stall_goal = absl::Seconds(1);
  // Breaks, and mends where the fault is one that passes. `scale`: 1 in the short form, more in the
  // long one.
  std::function<absl::Status(ChaosCluster& cluster, double scale)> disturb;
};

const std::vector<Scenario>& AllScenarios();

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_SCENARIO_H_
