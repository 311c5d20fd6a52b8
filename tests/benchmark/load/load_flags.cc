#include "proto/serving/abseil_flag_types.h"

#include "tests/benchmark/load/load_flags.h"

#include <optional>
#include <random>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, target, "127.0.0.1:8470", "HOST:PORT or unix:PATH of the coordinator.");
ABSL_FLAG(int, connections, 4, "Connections to it, 1 to 1000; requests take them in turn.");

ABSL_FLAG(int, concurrency, 0,
          "Closed loop: so many requests run at all times, 1 to 100000. One of --concurrency, "
          "--request_rate, --sweep and --sweep_rates is needed.");
ABSL_FLAG(double, request_rate, 0,
          "Open loop: requests a second, above 0 to 1000000. They arrive at random (Poisson) and "
          "start whatever is outstanding; latencies count from the arrival.");
ABSL_FLAG(std::vector<std::string>, sweep, {},
          "Closed loop at each of these concurrencies in turn, such as 1,2,4,8.");
ABSL_FLAG(std::vector<std::string>, sweep_rates, {},
          "Open loop at each of these rates (requests a second) in turn, such as 0.5,1,2.");

ABSL_FLAG(
    int64_t, num_requests, 0,
    "Requests that are measured at each load, up to 1000000000; 0: as many as --duration_s "
    "has time for. One of the two is needed; with both the first to be reached ends the run.");
ABSL_FLAG(double, duration_s, 0,
          "Seconds at each load in which requests are started, up to 1000000; 0: until "
          "--num_requests. Throughput is what happened in them, so the end, where the load goes "
          "down, does not count.");
ABSL_FLAG(int64_t, warmup_requests, 0,
          "Requests that are started before those that are measured, up to 1000000000, at each "
          "load. As many as the concurrency or more keep the start from counting.");
ABSL_FLAG(int, max_outstanding, 4096,
          "Open loop: most requests at once, 1 to 100000; an arrival beyond it is counted as not "
          "sent.");
ABSL_FLAG(double, drain_timeout_s, 300,
          "Seconds after the last start, up to 1000000, after which what still runs is cancelled "
          "and counted as unfinished.");
ABSL_FLAG(double, error_backoff_s, 0.1,
          "Closed loop: seconds, up to 3600, that a place rests when its request has failed.");

ABSL_FLAG(std::string, prompt_tokens, "constant:128",
          "Tokens of a prompt, beside the shared prefix: constant:N, uniform:A:B or "
          "lognormal:MEDIAN:SIGMA[:MAX], lengths 1 to 1048576, SIGMA (of the natural logarithm) "
          "above 0 to 10. They are drawn evenly from the vocabulary; BOS comes first and counts.");
ABSL_FLAG(std::string, output_tokens, "constant:64",
          "Most new tokens of a request, as --prompt_tokens; exactly so many with --ignore_eos.");
ABSL_FLAG(int, shared_prefix_tokens, 0,
          "Tokens, up to the model's context, that each prompt begins with and shares with others; "
          "0: none.");
ABSL_FLAG(int, num_prefixes, 1,
          "Different shared prefixes, 1 to 10000; each request takes one at random.");
ABSL_FLAG(bool, ignore_eos, true, "Go on after an end-of-sequence token.");
ABSL_FLAG(std::optional<float>, temperature, std::nullopt,
          "Of sampling, 0 to 100; 0 is greedy; not given: the server's default.");
ABSL_FLAG(double, cancel_fraction, 0,
          "Share of the requests, 0 to 1, that the client cancels after some of their tokens.");
ABSL_FLAG(double, deadline_s, 0, "Deadline of each request in seconds, up to 1000000; 0: none.");
ABSL_FLAG(int, max_attempts, 1,
          "Attempts, 1 to 5, at a request that ends with UNAVAILABLE before any of its answer has "
          "come. With more than 1, only those that all failed are counted as failed, and latencies "
          "hold the attempts before.");
ABSL_FLAG(
    uint64_t, seed, 0,
    "Of arrivals, lengths, tokens and cancels: the same seed makes the same requests. 0 takes "
    "a random one, which the JSON tells. A server that has seen the same prompts finds them "
    "in its prefix cache.");

namespace tramontane {
namespace {

absl::StatusOr<LengthDistribution> ParseLengths(const char* flag, const std::string& text) {
  absl::StatusOr<LengthDistribution> lengths = LengthDistribution::Parse(text);
  if (lengths.ok()) return lengths;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", lengths.status().message()));
}

}  // namespace

absl::StatusOr<std::vector<LoadPoint>> ParsePoints(int concurrency, double request_rate,
                                                   const std::vector<std::string>& sweep,
                                                   const std::vector<std::string>& sweep_rates) {
  const int given =
      (concurrency != 0) + (request_rate != 0) + !sweep.empty() + !sweep_rates.empty();
  if (given != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected exactly one of --concurrency, --request_rate, --sweep and --sweep_rates; found ",
        given));
  }
  std::vector<LoadPoint> points;
  if (concurrency != 0) points.push_back({concurrency, 0});
  if (request_rate != 0) points.push_back({0, request_rate});
  for (const std::string& text : sweep) {
    LoadPoint& point = points.emplace_back();
    if (!absl::SimpleAtoi(text, &point.concurrency) || point.concurrency < 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--sweep: \"", text, "\" is no concurrency; expected whole numbers such as 1,2,4,8"));
    }
  }
  for (const std::string& text : sweep_rates) {
    LoadPoint& point = points.emplace_back();
    if (!absl::SimpleAtod(text, &point.request_rate) || !(point.request_rate > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--sweep_rates: \"", text, "\" is no rate; expected numbers above 0 such as 0.5,1,2"));
    }
  }
  return points;
}

absl::StatusOr<LoadOptions> LoadOptionsFromFlags() {
  LoadOptions options;
  absl::StatusOr<std::vector<LoadPoint>> points =
      ParsePoints(absl::GetFlag(FLAGS_concurrency), absl::GetFlag(FLAGS_request_rate),
                  absl::GetFlag(FLAGS_sweep), absl::GetFlag(FLAGS_sweep_rates));
  if (!points.ok()) return points.status();
  const absl::StatusOr<LengthDistribution> prompt =
      ParseLengths("prompt_tokens", absl::GetFlag(FLAGS_prompt_tokens));
  if (!prompt.ok()) return prompt.status();
  const absl::StatusOr<LengthDistribution> output =
      ParseLengths("output_tokens", absl::GetFlag(FLAGS_output_tokens));
  if (!output.ok()) return output.status();
  options.target = absl::GetFlag(FLAGS_target);
  options.points = *std::move(points);
  options.connections = absl::GetFlag(FLAGS_connections);
  options.num_requests = absl::GetFlag(FLAGS_num_requests);
  options.duration_s = absl::GetFlag(FLAGS_duration_s);
  options.warmup_requests = absl::GetFlag(FLAGS_warmup_requests);
  options.max_outstanding = absl::GetFlag(FLAGS_max_outstanding);
  options.drain_timeout_s = absl::GetFlag(FLAGS_drain_timeout_s);
  options.error_backoff_s = absl::GetFlag(FLAGS_error_backoff_s);
  options.prompt_tokens = *prompt;
  options.output_tokens = *output;
  options.shared_prefix_tokens = absl::GetFlag(FLAGS_shared_prefix_tokens);
  options.num_prefixes = absl::GetFlag(FLAGS_num_prefixes);
  options.ignore_eos = absl::GetFlag(FLAGS_ignore_eos);
  options.temperature = absl::GetFlag(FLAGS_temperature);
  options.cancel_fraction = absl::GetFlag(FLAGS_cancel_fraction);
  options.deadline_s = absl::GetFlag(FLAGS_deadline_s);
  options.max_attempts = absl::GetFlag(FLAGS_max_attempts);
  options.seed = absl::GetFlag(FLAGS_seed);
  if (options.seed == 0) options.seed = std::random_device()();
  const absl::Status valid = ValidateLoadOptions(options);
  if (!valid.ok()) return valid;
  return options;
}

}  // namespace tramontane
