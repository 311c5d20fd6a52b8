// load_client: puts a load on a coordinator and measures it. --help says how.
#include "proto/serving/abseil_flag_types.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/generate/client_flags.h"
#include "coordinator/generate/inference_client.h"
#include "coordinator/generate/retry_policy.h"
#include "proto/serving/process.h"
#include "tests/benchmark/load/interruption.h"
#include "tests/benchmark/load/load_flags.h"
#include "tests/benchmark/load/load_generator.h"
#include "tests/benchmark/load/load_report.h"
#include "tests/benchmark/load/load_table.h"
#include "tests/benchmark/load/request_source.h"

ABSL_FLAG(std::string, json_out, "",
          "File for configuration and results as JSON, written after each load; empty: none.");
ABSL_FLAG(bool, progress, true, "A line on standard error each second while it runs.");

namespace tramontane {
namespace {

constexpr absl::Duration kGetModelTimeout = absl::Seconds(30);
constexpr char kUsage[] =
    "Puts a load on a coordinator's Generate call and measures it. For example:\n"
    "  load_client --concurrency=8 --num_requests=100 --warmup_requests=8\n"
    "  load_client --request_rate=2.5 --duration_s=60 --prompt_tokens=lognormal:512:0.8:4000 "
    "--output_tokens=uniform:16:256 --json_out=load.json\n"
    "  load_client --sweep=1,2,4,8,16 --duration_s=30 --warmup_requests=16 --json_out=load.json\n"
    "Prints a table at the end, and after Ctrl-C. Exits with 1 where a request failed with another "
    "status than RESOURCE_EXHAUSTED or, with --deadline_s, DEADLINE_EXCEEDED.";

struct Connections {
  std::vector<std::unique_ptr<v1::Inference::Stub>> owned;
  std::vector<v1::Inference::Stub*> stubs;
};

Connections Connect(const LoadOptions& options, const TlsClient& tls) {
  Connections connections;
  for (int i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    // Else gRPC puts all channels to one server on one connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    SetRetryPolicy(options.max_attempts, &arguments);
    connections.owned.push_back(
        v1::Inference::NewStub(tls.NewChannel(options.target, std::move(arguments))));
    connections.stubs.push_back(connections.owned.back().get());
  }
  return connections;
}

absl::StatusOr<v1::GetModelResponse> GetModel(const LoadOptions& options, const TlsClient& tls,
                                              Interruption& interruption) {
  InferenceClient client(options.target, kGetModelTimeout, tls, options.api_token);
  const Interruption::Listening listening(interruption, [&client] { client.Cancel(); });
  return client.GetModel();
}

// Writes over its own line on a terminal, a line each time elsewhere.
LoadGenerator::OnProgress ProgressPrinter(const LoadPoint& point) {
  if (!absl::GetFlag(FLAGS_progress)) return [](double, int, const LoadProgress&) {};
  const bool terminal = isatty(STDERR_FILENO) == 1;
  return [point, terminal, last_tokens = uint64_t{0}, last_s = 0.0](
             double elapsed_s, int outstanding, const LoadProgress& progress) mutable {
    const double rate = PerSecond(progress.output_tokens - last_tokens, elapsed_s - last_s);
    last_tokens = progress.output_tokens;
    last_s = elapsed_s;
    const std::string line = ProgressLine(elapsed_s, outstanding, progress, rate);
    std::fprintf(stderr, terminal ? "\r\x1b[K%s: %s" : "%s: %s\n", PointName(point).c_str(),
                 line.c_str());
  };
}

void EndProgressLine() {
  if (absl::GetFlag(FLAGS_progress) && isatty(STDERR_FILENO) == 1) std::fputs("\r\x1b[K", stderr);
}

// Of all requests, those whose failure is not the answer to too much load.
uint64_t NumUnexpectedFailures(const LoadReport& report) {
  uint64_t failures = 0;
  for (const LoadSummary& point : report.points) {
    failures += point.requests.wrong_usage;
    for (const auto& [code, error] : point.errors) {
      const bool late = code == "DEADLINE_EXCEEDED" && report.options.deadline_s > 0;
      if (code != "RESOURCE_EXHAUSTED" && !late) failures += error.count;
    }
  }
  return failures;
}

absl::Status Run(Interruption& interruption) {
  absl::StatusOr<LoadOptions> options = LoadOptionsFromFlags();
  if (!options.ok()) return options.status();
  const absl::StatusOr<ApiClient> api = ApiClientFromFlags(options->target);
  if (!api.ok()) return api.status();
  options->api_token = api->token;
  absl::StatusOr<v1::GetModelResponse> model = GetModel(*options, api->tls, interruption);
  if (!model.ok()) return model.status();
  const absl::StatusOr<RequestSource> requests = RequestSource::Create(*options, *model);
  if (!requests.ok()) return requests.status();

  LoadReport report{*std::move(options), *std::move(model), absl::Now(), {}};
  const std::string json_out = absl::GetFlag(FLAGS_json_out);
  if (!json_out.empty()) {
    // Before the run, not after it.
    const absl::Status written = WriteFile(json_out, ToJson(report));
    if (!written.ok()) return written;
  }
  const Connections connections = Connect(report.options, api->tls);
  uint64_t next_request = 0;  // goes on over the points, so that no prompt comes twice
  for (const LoadPoint& point : report.options.points) {
    LoadGenerator generator(&report.options, point, &*requests, connections.stubs,
                            ProgressPrinter(point));
    report.points.push_back(generator.Run(next_request, interruption));
    EndProgressLine();
    std::fputs(PointTable(report.points.back()).c_str(), stdout);
    std::fflush(stdout);
    if (!json_out.empty()) {
      const absl::Status written = WriteFile(json_out, ToJson(report));
      if (!written.ok()) return written;
    }
    if (interruption.raised()) break;
  }
  if (report.points.size() > 1) {
    std::fputs(absl::StrCat("\n", SweepTable(report.points)).c_str(), stdout);
  }
  if (interruption.raised()) return absl::CancelledError("interrupted");
  const uint64_t failures = NumUnexpectedFailures(report);
  if (failures == 0) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat(failures, " requests failed; the table says how"));
}

int Main(int argc, char** argv) {
  IgnoreLockOrder();
  TakeTerminationSignals();
  const std::vector<char*> positional = ParseFlags(argc, argv, kUsage);
  if (!positional.empty()) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", positional.front(), "\"; see --help")));
  }
  const auto interruption = std::make_shared<Interruption>();
  // Ends with the process.
  std::thread([interruption] {
    WaitForTerminationSignal();
    interruption->Raise();
  }).detach();
  return ExitWith(Run(*interruption));
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
