// What a load run is told: shapes of the requests, limits, and the load of each point.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_OPTIONS_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/benchmark/load/length_distribution.h"

namespace tramontane {

// One load that is measured: exactly one of the two is not 0.
struct LoadPoint {
  int concurrency = 0;      // closed loop: so many requests run at all times
  double request_rate = 0;  // open loop: Poisson arrivals a second, whatever is outstanding
};

struct LoadOptions {
  std::string target = "127.0.0.1:8470";  // HOST:PORT or unix:PATH of the coordinator
  std::vector<LoadPoint> points;          // run one after the other
  int connections = 4;                    // HTTP/2 connections, taken in turn by the requests

  // Of each point. A limit of 0 is none; at least one of the first two is set.
  int64_t num_requests = 0;      // measured ones; those of the warm-up come on top
  double duration_s = 0;         // of the measurement window, in which requests are started
  int64_t warmup_requests = 0;   // started first, their latencies not recorded
  int max_outstanding = 4096;    // open loop: an arrival beyond it is counted as not sent
  double drain_timeout_s = 300;  // from the last start until what still runs is cancelled
  double error_backoff_s = 0.1;  // closed loop: pause of a place whose request failed

  // Of each request.
  LengthDistribution prompt_tokens = LengthDistribution::Constant(128);  // beside the prefix
  LengthDistribution output_tokens = LengthDistribution::Constant(64);
  int shared_prefix_tokens = 0;  // each prompt begins with one of num_prefixes of this length
  int num_prefixes = 1;
  bool ignore_eos = true;
  std::optional<float> temperature;  // unset: the server's default
  double cancel_fraction = 0;        // [0, 1]: share that is cancelled after some of its tokens
  double deadline_s = 0;             // of each request, from its start; 0: none
  int max_attempts = 1;              // of each request, while UNAVAILABLE comes before any answer

  std::string api_token;  // shown with each request, never in a report; "": none
  uint64_t seed = 0;      // of arrivals, lengths, tokens and cancels
};

// INVALID_ARGUMENT naming the flag, what was found and what was expected.
absl::Status ValidateLoadOptions(const LoadOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_OPTIONS_H_
