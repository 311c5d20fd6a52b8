#include "tests/benchmark/load/load_options.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

absl::Status OutOfRange(const char* flag, double value, const char* expected) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": expected ", expected));
}

struct Limit {
  const char* flag;
  double value;
  double least;
  double most;
  const char* expected;
};

absl::Status CheckPoints(const std::vector<LoadPoint>& points) {
  if (points.empty()) {
    return absl::InvalidArgumentError(
        "expected exactly one of --concurrency, --request_rate, --sweep and --sweep_rates");
  }
  for (const LoadPoint& point : points) {
    if (point.concurrency < 0 || point.concurrency > 100000) {
      return OutOfRange("concurrency", point.concurrency, "1 to 100000 requests");
    }
    if (!(point.request_rate >= 0) || point.request_rate > 1e6) {
      return OutOfRange("request_rate", point.request_rate,
                        "more than 0 and at most 1000000 requests a second");
    }
    if ((point.concurrency > 0) == (point.request_rate > 0)) {
      return absl::InvalidArgumentError("a load is a concurrency or a rate, more than 0");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateLoadOptions(const LoadOptions& options) {
  const absl::Status points = CheckPoints(options.points);
  if (!points.ok()) return points;
  const double temperature = options.temperature.value_or(0);
  for (const Limit& limit : {
           Limit{"connections", 1.0 * options.connections, 1, 1000, "1 to 1000"},
           Limit{"num_requests", 1.0 * options.num_requests, 0, 1e9, "0 to 1000000000"},
           Limit{"duration_s", options.duration_s, 0, 1e6, "0 to 1000000 seconds"},
           Limit{"warmup_requests", 1.0 * options.warmup_requests, 0, 1e9, "0 to 1000000000"},
           Limit{"max_outstanding", 1.0 * options.max_outstanding, 1, 1e5, "1 to 100000"},
           Limit{"drain_timeout_s", options.drain_timeout_s, 0, 1e6, "0 to 1000000 seconds"},
           Limit{"error_backoff_s", options.error_backoff_s, 0, 3600, "0 to 3600 seconds"},
           Limit{"shared_prefix_tokens", 1.0 * options.shared_prefix_tokens, 0, kMaxLength,
                 "0 to 1048576 tokens"},
           Limit{"num_prefixes", 1.0 * options.num_prefixes, 1, 10000, "1 to 10000"},
           Limit{"temperature", temperature, 0, 100, "0 to 100"},
           Limit{"cancel_fraction", options.cancel_fraction, 0, 1, "0 to 1"},
           Limit{"max_attempts", 1.0 * options.max_attempts, 1, 5, "1 to 5"},
           Limit{"deadline_s", options.deadline_s, 0, 1e6, "0 to 1000000 seconds"},
       }) {
    if (!(limit.value >= limit.least && limit.value <= limit.most)) {
      return OutOfRange(limit.flag, limit.value, limit.expected);
    }
  }
  if (options.num_requests == 0 && options.duration_s == 0) {
    return absl::InvalidArgumentError(
        "a run needs an end: expected --num_requests=N, --duration_s=SECONDS or both");
  }
  return absl::OkStatus();
}

}  // namespace tramontane
