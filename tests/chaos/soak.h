// Hours of load with a kill now and then: what the coordinator needs must not grow.
#ifndef TRAMONTANE_TESTS_CHAOS_SOAK_H_
#define TRAMONTANE_TESTS_CHAOS_SOAK_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/chaos/steady_load.h"

namespace tramontane {

struct SoakOptions {
  absl::Duration duration = absl::Hours(1);
  absl::Duration kill_every = absl::Seconds(20);
  SteadyLoadOptions load;
};

// What a process has at a moment.
struct ProcessUse {
  absl::Duration since_start;
  int64_t resident_kib = 0;
  int64_t descriptors = 0;
  int64_t threads = 0;
};

struct SoakReport {
  LoadReport load;
  int64_t num_kills = 0;
  std::vector<ProcessUse> coordinator;  // before each kill
};

// Two shards of two replicas, two attention workers; a random one of the six is killed and, when
// the streams have felt it for some seconds, started again.
absl::StatusOr<SoakReport> Soak(const SoakOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_SOAK_H_
