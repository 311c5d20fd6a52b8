// Percentiles of any number of latencies in constant memory.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LATENCY_HISTOGRAM_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LATENCY_HISTOGRAM_H_

#include <chrono>
#include <cstdint>
#include <vector>

namespace tramontane {

// What percentiles are off by at most, as a share of the value.
inline constexpr double kLatencyRelativeError = 1.0 / 256;

// Milliseconds; all 0 where count is 0. Count, mean, min and max are exact.
struct LatencySummary {
  uint64_t count = 0;
  double mean_ms = 0;
  double min_ms = 0;
  double p50_ms = 0;
  double p90_ms = 0;
  double p95_ms = 0;
  double p99_ms = 0;
  double max_ms = 0;
};

// Counts in buckets of 1/128 of their octave, from 0 to 2^63 ns (57 kB): exact below 128 ns, within
// kLatencyRelativeError above. Thread-compatible.
class LatencyHistogram {
 public:
  LatencyHistogram();

  // A negative latency counts as 0.
  void Add(std::chrono::nanoseconds latency) { Add(latency, 1); }
  void Add(std::chrono::nanoseconds latency, uint64_t times);

  uint64_t count() const { return count_; }
  // Nearest rank: the least latency that at least `share`, in (0, 1], of all do not exceed. 0 where
  // there are none.
  std::chrono::nanoseconds Percentile(double share) const;
  LatencySummary Summarize() const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  double sum_ns_ = 0;
  int64_t min_ns_ = 0;
  int64_t max_ns_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LATENCY_HISTOGRAM_H_
