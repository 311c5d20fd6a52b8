// What one load point measured.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_SUMMARY_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_SUMMARY_H_

#include <cstdint>
#include <map>
#include <string>

#include "tests/benchmark/load/latency_histogram.h"
#include "tests/benchmark/load/load_options.h"

namespace tramontane {

// Requests that were started (or should have been) in the measurement window, by how they ended.
// started = ok + cancelled + failed + unfinished.
struct RequestCounts {
  uint64_t started = 0;
  uint64_t ok = 0;
  uint64_t cancelled = 0;    // by --cancel_fraction
  uint64_t failed = 0;       // with a status other than OK
  uint64_t unfinished = 0;   // cut off by Ctrl-C or --drain_timeout_s
  uint64_t not_sent = 0;     // arrivals beyond --max_outstanding
  uint64_t wrong_usage = 0;  // of ok: usage in the last message was not what was sent and received
};

struct StatusCount {
  uint64_t count = 0;
  std::string example;  // message of the first
};

struct LoadSummary {
  LoadPoint point;
  bool interrupted = false;  // by Ctrl-C
  int peak_outstanding = 0;  // requests at once

  RequestCounts requests;
  uint64_t warmup_requests = 0;  // started before the window
  // Of the measured requests, whenever they came.
  uint64_t prompt_tokens = 0;
  uint64_t output_tokens = 0;
  uint64_t messages_with_tokens = 0;          // tokens that were ready together share one
  std::map<std::string, StatusCount> errors;  // of the failed, by status code

  // What happened in the window, whichever request it belongs to: throughput is this by its length.
  double window_s = 0;
  uint64_t window_requests = 0;       // that ended with OK
  uint64_t window_prompt_tokens = 0;  // of requests whose first token came
  uint64_t window_output_tokens = 0;

  // Of measured requests. Open-loop times begin at the arrival that the schedule says.
  LatencySummary ttft;      // to the first token
  LatencySummary itl;       // each token after the one before; 0 for those that share its message
  LatencySummary tpot;      // of OK requests: (last token - first token) / (tokens - 1)
  LatencySummary e2e;       // of OK requests: to the end of the stream
  LatencySummary queue;     // of OK requests: what the server says they waited
  LatencySummary send_lag;  // from the scheduled arrival to the client's sending: its own lateness
};

// 0 for a window of no length.
inline double PerSecond(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

// While it runs. Counts are of all requests, those of the warm-up too.
struct LoadProgress {
  uint64_t started = 0;
  uint64_t ended = 0;
  uint64_t failed = 0;
  uint64_t not_sent = 0;
  uint64_t output_tokens = 0;
  double ttft_p50_ms = 0;  // of measured requests
  double itl_p50_ms = 0;
  double itl_p99_ms = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_SUMMARY_H_
