#include "tests/benchmark/load/load_report.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

using Json = nlohmann::ordered_json;

Json PointJson(const LoadPoint& point) {
  if (point.request_rate > 0) return {{"request_rate", point.request_rate}};
  return {{"concurrency", point.concurrency}};
}

Json ConfigurationJson(const LoadOptions& options) {
  Json json;
  json["target"] = options.target;
  Json& sweep = json["sweep"] = Json::array();
  for (const LoadPoint& point : options.points) sweep.push_back(PointJson(point));
  json["connections"] = options.connections;
  json["num_requests"] = options.num_requests;
  json["duration_s"] = options.duration_s;
  json["warmup_requests"] = options.warmup_requests;
  json["max_outstanding"] = options.max_outstanding;
  json["drain_timeout_s"] = options.drain_timeout_s;
  json["error_backoff_s"] = options.error_backoff_s;
  json["prompt_tokens"] = options.prompt_tokens.ToString();
  json["output_tokens"] = options.output_tokens.ToString();
  json["shared_prefix_tokens"] = options.shared_prefix_tokens;
  json["num_prefixes"] = options.num_prefixes;
  json["ignore_eos"] = options.ignore_eos;
  json["temperature"] = options.temperature.has_value() ? Json(*options.temperature) : Json();
  json["cancel_fraction"] = options.cancel_fraction;
  json["deadline_s"] = options.deadline_s;
  json["seed"] = options.seed;
  return json;
}

Json ModelJson(const v1::GetModelResponse& model) {
  return {{"name", model.name()},
          {"digest", model.digest()},
          {"compute_dtype", model.compute_dtype()},
          {"backend", model.backend()},
          {"num_layers", model.num_layers()},
          {"hidden_size", model.hidden_size()},
          {"intermediate_size", model.intermediate_size()},
          {"num_experts", model.num_experts()},
          {"top_k", model.top_k()},
          {"vocab_size", model.vocab_size()},
          {"context_length", model.context_length()}};
}

Json LatencyJson(const LatencySummary& latency) {
  return {{"count", latency.count}, {"mean", latency.mean_ms}, {"min", latency.min_ms},
          {"p50", latency.p50_ms},  {"p90", latency.p90_ms},   {"p95", latency.p95_ms},
          {"p99", latency.p99_ms},  {"max", latency.max_ms}};
}

Json RequestsJson(const LoadSummary& summary) {
  const RequestCounts& requests = summary.requests;
  return {{"started", requests.started},         {"ok", requests.ok},
          {"cancelled", requests.cancelled},     {"failed", requests.failed},
          {"unfinished", requests.unfinished},   {"not_sent", requests.not_sent},
          {"wrong_usage", requests.wrong_usage}, {"warmup", summary.warmup_requests}};
}

Json SummaryJson(const LoadSummary& summary) {
  Json json = {{"mode", summary.point.request_rate > 0 ? "open" : "closed"}};
  json.update(PointJson(summary.point));
  json["interrupted"] = summary.interrupted;
  json["peak_outstanding"] = summary.peak_outstanding;
  json["requests"] = RequestsJson(summary);
  Json& errors = json["errors"] = Json::object();
  for (const auto& [code, error] : summary.errors) {
    errors[code] = {{"count", error.count}, {"example", error.example}};
  }
  json["tokens"] = {{"prompt", summary.prompt_tokens},
                    {"output", summary.output_tokens},
                    {"messages", summary.messages_with_tokens}};
  json["window"] = {{"seconds", summary.window_s},
                    {"requests", summary.window_requests},
                    {"prompt_tokens", summary.window_prompt_tokens},
                    {"output_tokens", summary.window_output_tokens}};
  json["throughput"] = {
      {"requests_per_s", PerSecond(summary.window_requests, summary.window_s)},
      {"prompt_tokens_per_s", PerSecond(summary.window_prompt_tokens, summary.window_s)},
      {"output_tokens_per_s", PerSecond(summary.window_output_tokens, summary.window_s)}};
  json["latency_ms"] = {
      {"ttft", LatencyJson(summary.ttft)},   {"itl", LatencyJson(summary.itl)},
      {"tpot", LatencyJson(summary.tpot)},   {"e2e", LatencyJson(summary.e2e)},
      {"queue", LatencyJson(summary.queue)}, {"send_lag", LatencyJson(summary.send_lag)}};
  return json;
}

absl::Status CannotWrite(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("--json_out: cannot write ", path, ": ", std::strerror(errno)));
}

}  // namespace

std::string ToJson(const LoadReport& report) {
  Json json;
  json["version"] = 1;
  json["started_at"] = absl::FormatTime(absl::RFC3339_sec, report.started_at, absl::UTCTimeZone());
  json["configuration"] = ConfigurationJson(report.options);
  json["model"] = ModelJson(report.model);
  json["percentile_relative_error"] = kLatencyRelativeError;
  Json& points = json["points"] = Json::array();
  for (const LoadSummary& summary : report.points) points.push_back(SummaryJson(summary));
  // A server's message may hold any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status WriteFile(const std::string& path, const std::string& content) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return CannotWrite(path);
  const bool written = std::fwrite(content.data(), 1, content.size(), file) == content.size();
  if (std::fclose(file) != 0 || !written) return CannotWrite(path);
  return absl::OkStatus();
}

}  // namespace tramontane
