// What a person reads: while the load runs, and when it is over.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_TABLE_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_TABLE_H_

#include <string>
#include <vector>

#include "tests/benchmark/load/load_summary.h"

namespace tramontane {

// "concurrency 8" or "4.5 requests/s".
std::string PointName(const LoadPoint& point);

// One line without its end. `tokens_per_s` is that since the line before.
std::string ProgressLine(double elapsed_s, int outstanding, const LoadProgress& progress,
                         double tokens_per_s);

// One point: counts, throughput, a table of latencies, errors.
std::string PointTable(const LoadSummary& summary);

// One line a point, for more than one.
std::string SweepTable(const std::vector<LoadSummary>& points);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_TABLE_H_
