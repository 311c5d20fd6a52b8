// Hours of mixed load with a kill now and then: nothing fails, and what processes hold does not
// grow.
#ifndef TRAMONTANE_TESTS_CHAOS_SOAK_H_
#define TRAMONTANE_TESTS_CHAOS_SOAK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/chaos/mixed_load.h"
#include "tests/chaos/survivors.h"

namespace tramontane {

struct SoakOptions {
  absl::Duration duration = absl::Hours(1);
  absl::Duration kill_every = absl::Seconds(20);  // at least 5 s
  MixedLoadOptions load;
};

struct SoakReport {
  std::vector<SortReport> load;
  int64_t num_kills = 0;
  std::vector<Survivor> survivors;  // seen before each kill
};

// Two shards of two replicas, two attention workers. Of the six, one of each kind is never killed;
// a random one of the others is and, when the streams have felt it for some seconds, started again.
// In the end all must exit with 0 on SIGTERM: INTERNAL where one does not.
absl::StatusOr<SoakReport> Soak(const SoakOptions& options);

// Tables in Markdown: the load, by sort; the survivors, by thirds of the time.
std::string SoakTables(const SoakReport& report);

// What may not be, a line each: LoadFaults and GrowthFaults.
std::vector<std::string> SoakFaults(const SoakReport& report);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_SOAK_H_
