#include "tests/benchmark/load/load_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tramontane {
namespace {

std::string LatencyRow(const char* name, const LatencySummary& latency) {
  return absl::StrFormat("  %-16s %9u %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", name, latency.count,
                         latency.mean_ms, latency.p50_ms, latency.p90_ms, latency.p95_ms,
                         latency.p99_ms, latency.max_ms);
}

std::string CountsLine(const LoadSummary& summary) {
  const RequestCounts& requests = summary.requests;
  std::string line =
      absl::StrFormat("  requests: %u started, %u ok", requests.started, requests.ok);
  const std::pair<const char*, uint64_t> rest[] = {{"cancelled", requests.cancelled},
                                                   {"failed", requests.failed},
                                                   {"unfinished", requests.unfinished},
                                                   {"not sent", requests.not_sent},
                                                   {"with wrong usage", requests.wrong_usage}};
  for (const auto& [name, count] : rest) {
    if (count > 0) absl::StrAppend(&line, ", ", count, " ", name);
  }
  absl::StrAppendFormat(&line, "; at most %d at once\n", summary.peak_outstanding);
  return line;
}

}  // namespace

std::string PointName(const LoadPoint& point) {
  if (point.request_rate > 0) return absl::StrCat(point.request_rate, " requests/s");
  return absl::StrCat("concurrency ", point.concurrency);
}

std::string ProgressLine(double elapsed_s, int outstanding, const LoadProgress& progress,
                         double tokens_per_s) {
  std::string line =
      absl::StrFormat("%5.0f s  %u started, %d running, %u ended, %u failed", elapsed_s,
                      progress.started, outstanding, progress.ended, progress.failed);
  if (progress.not_sent > 0) absl::StrAppend(&line, ", ", progress.not_sent, " not sent");
  absl::StrAppendFormat(&line, "; %.1f tok/s; ttft p50 %.1f ms, itl p50 %.2f p99 %.2f ms",
                        tokens_per_s, progress.ttft_p50_ms, progress.itl_p50_ms,
                        progress.itl_p99_ms);
  return line;
}

std::string PointTable(const LoadSummary& summary) {
  std::string text =
      absl::StrCat(PointName(summary.point), summary.interrupted ? " (interrupted)" : "", "\n");
  absl::StrAppend(&text, CountsLine(summary));
  absl::StrAppendFormat(
      &text, "  throughput over %.2f s: %.2f requests/s, %.1f prompt tok/s, %.1f output tok/s\n",
      summary.window_s, PerSecond(summary.window_requests, summary.window_s),
      PerSecond(summary.window_prompt_tokens, summary.window_s),
      PerSecond(summary.window_output_tokens, summary.window_s));
  absl::StrAppendFormat(&text, "  %-16s %9s %9s %9s %9s %9s %9s %9s\n", "milliseconds", "count",
                        "mean", "p50", "p90", "p95", "p99", "max");
  absl::StrAppend(
      &text, LatencyRow("first token", summary.ttft), LatencyRow("inter-token", summary.itl),
      LatencyRow("per output token", summary.tpot), LatencyRow("end to end", summary.e2e),
      LatencyRow("server's queue", summary.queue), LatencyRow("client's delay", summary.send_lag));
  for (const auto& [code, error] : summary.errors) {
    absl::StrAppend(&text, "  ", code, ": ", error.count, ", such as \"", error.example, "\"\n");
  }
  return text;
}

std::string SweepTable(const std::vector<LoadSummary>& points) {
  std::string text =
      absl::StrFormat("%-18s %9s %9s %12s %9s %9s %9s %9s %7s\n", "load", "req/s", "tok/s",
                      "prompt tok/s", "ttft p50", "ttft p99", "itl p50", "itl p99", "failed");
  for (const LoadSummary& point : points) {
    absl::StrAppendFormat(&text, "%-18s %9.2f %9.1f %12.1f %9.2f %9.2f %9.2f %9.2f %7u\n",
                          PointName(point.point), PerSecond(point.window_requests, point.window_s),
                          PerSecond(point.window_output_tokens, point.window_s),
                          PerSecond(point.window_prompt_tokens, point.window_s), point.ttft.p50_ms,
                          point.ttft.p99_ms, point.itl.p50_ms, point.itl.p99_ms,
                          point.requests.failed);
  }
  return text;
}

}  // namespace tramontane
