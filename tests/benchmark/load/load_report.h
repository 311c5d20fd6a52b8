// The whole run as one JSON document.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_REPORT_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/inference.pb.h"
#include "tests/benchmark/load/load_options.h"
#include "tests/benchmark/load/load_summary.h"

namespace tramontane {

struct LoadReport {
  LoadOptions options;
  v1::GetModelResponse model;
  absl::Time started_at;
  std::vector<LoadSummary> points;  // those that have run
};

// One object:
//   version         1; another number where a field changes its meaning
//   started_at      wall clock, RFC 3339, UTC
//   configuration   every flag by its name, seed as it was drawn; of the load only `sweep`: one
//                   {concurrency} or {request_rate} for each point that was asked for
//   model           what GetModel says: name, digest, compute_dtype, backend, and sizes
//   percentile_relative_error  bound on every percentile
//   points          one object a point:
//     mode, concurrency | request_rate   "closed" or "open"
//     interrupted, peak_outstanding
//     requests      started = ok + cancelled + failed + unfinished; not_sent, wrong_usage, warmup
//     errors        status code to {count, example}, of the failed
//     tokens        prompt and output of the measured requests, messages that brought the output
//     window        seconds, and what happened in it: requests, prompt_tokens, output_tokens
//     throughput    requests_per_s, prompt_tokens_per_s, output_tokens_per_s: window by its seconds
//     latency_ms    ttft, itl, tpot, e2e, queue, send_lag: {count, mean, min, p50, p90, p95, p99,
//     max}
// load_summary.h says what each counts.
std::string ToJson(const LoadReport& report);

// Replaces the file. INVALID_ARGUMENT naming it, and why, where it cannot be written.
absl::Status WriteFile(const std::string& path, const std::string& content);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_REPORT_H_
