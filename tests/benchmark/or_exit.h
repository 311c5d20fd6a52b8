// Benchmarks have nobody to return an error to.
#ifndef TRAMONTANE_TESTS_BENCHMARK_OR_EXIT_H_
#define TRAMONTANE_TESTS_BENCHMARK_OR_EXIT_H_

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tramontane {

// Prints an error and ends the process with 1.
inline void ExitUnless(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T ValueOrExit(absl::StatusOr<T> value) {
  ExitUnless(value.status());
  return *std::move(value);
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_OR_EXIT_H_
