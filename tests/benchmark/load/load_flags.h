// The command line of load_client, as options.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_FLAGS_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/benchmark/load/load_options.h"

namespace tramontane {

// The points that the four load flags ask for: exactly one of them is given. Empty lists and 0 are
// not given. INVALID_ARGUMENT else, and for what is no number.
absl::StatusOr<std::vector<LoadPoint>> ParsePoints(int concurrency, double request_rate,
                                                   const std::vector<std::string>& sweep,
                                                   const std::vector<std::string>& sweep_rates);

// Options from the parsed flags, valid as ValidateLoadOptions says; a seed of 0 becomes a random
// one.
absl::StatusOr<LoadOptions> LoadOptionsFromFlags();

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_FLAGS_H_
