// The operator's command: shows who hosts what and who serves, and plans what is to be hosted.
#include "proto/serving/abseil_flag_types.h"

#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/generate/client_flags.h"
#include "coordinator/tramontanectl/health_command.h"
#include "coordinator/tramontanectl/placement_json.h"
#include "coordinator/tramontanectl/placement_table.h"
#include "coordinator/tramontanectl/plan_command.h"
#include "model/log.h"
#include "proto/placement.grpc.pb.h"
#include "proto/serving/flag_range.h"
#include "proto/serving/host_port.h"
#include "proto/serving/process.h"
#include "proto/serving/tls_client.h"
#include "proto/serving/unix_socket.h"
#include "proto/wire/status.h"

ABSL_FLAG(
    std::string, target, "127.0.0.1:8470",
    "placement: HOST:PORT or unix:PATH of a coordinator, or of an attention worker; health: of any "
    "server.");
ABSL_FLAG(double, timeout_s, 5,
          "placement, health: seconds after which a process that does not answer is given up.");
ABSL_FLAG(std::string, worker_tls_name, "",
          "placement: name that the certificates of attention workers must have, as the "
          "coordinator has it; empty: that of --tls_server_name.");
ABSL_FLAG(bool, json, false, "JSON in place of a table.");

namespace tramontane {
namespace {

// `token`: "" for none.
ProcessPlacement Ask(const std::string& address, const TlsClient& tls, const std::string& token) {
  const std::unique_ptr<v1::Placement::Stub> stub =
      v1::Placement::NewStub(tls.NewChannel(address, {}));
  grpc::ClientContext context;
  context.set_deadline(
      absl::ToChronoTime(absl::Now() + absl::Seconds(absl::GetFlag(FLAGS_timeout_s))));
  if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  ProcessPlacement answer;
  answer.address = address;
  const grpc::Status status =
      stub->GetPlacement(&context, v1::GetPlacementRequest(), &answer.placement);
  if (!status.ok()) answer.error = FromGrpcStatus(status).ToString();
  return answer;
}

// The target and, where attention runs in other processes, those that are connected. UNAVAILABLE
// naming those that do not answer. The token is the API's: only the target gets it.
int ShowPlacement(const std::string& target, const ApiClient& client) {
  std::vector<ProcessPlacement> processes = {Ask(target, client.tls, client.token)};
  TlsClient worker_tls = client.tls;
  if (const std::string name = absl::GetFlag(FLAGS_worker_tls_name); !name.empty()) {
    worker_tls.server_name = name;
  }
  const v1::GetPlacementResponse asked = processes.front().placement;
  for (const v1::PlacedAttentionWorker& worker : asked.attention_workers()) {
    if (worker.state() != v1::PLACED_WORKER_STATE_SERVING &&
        worker.state() != v1::PLACED_WORKER_STATE_DRAINING) {
      continue;
    }
    if (IsUnixAddress(worker.address()) && !StaysOnThisMachine(target).value_or(false)) {
      processes.push_back({worker.address(), "a socket of another machine: ask there", {}});
      continue;
    }
    processes.push_back(Ask(worker.address(), worker_tls, ""));
  }
  std::cout << (absl::GetFlag(FLAGS_json) ? PlacementJson(processes) : PlacementTable(processes));
  std::vector<std::string> failures;
  for (const ProcessPlacement& process : processes) {
    if (!process.error.empty()) {
      failures.push_back(absl::StrCat(process.address, ": ", process.error));
    }
  }
  if (failures.empty()) return kExitOk;
  return ExitWith(absl::UnavailableError(absl::StrJoin(failures, "; ")));
}

int Main(int argc, char** argv) {
  const std::vector<char*> positional =
      ParseFlags(argc, argv,
                 "placement: shows which workers there are, what they host, and how they do.\n"
                 "health: whether a server takes requests; exit code 0 or 4.\n"
                 "plan: says which processes, with what memory, serve a model to so many users.\n"
                 "For example:\n"
                 "  tramontanectl placement --target=127.0.0.1:8470\n"
                 "  tramontanectl plan --model=DIR --users=16 --context=8192 --expert_memory=24GiB "
                 "--values_out=values.yaml");
  InitLog("tramontanectl");
  const absl::string_view command = positional.size() == 1 ? positional.front() : "";
  if (command == "plan") return ShowPlan(absl::GetFlag(FLAGS_json));
  if (command != "placement" && command != "health") {
    return ExitWith(absl::InvalidArgumentError(
        "expected one command, \"placement\", \"health\" or \"plan\", and flags; see --help"));
  }
  const absl::Status timeout = CheckMoreThan(0, {{"timeout_s", absl::GetFlag(FLAGS_timeout_s)}});
  if (!timeout.ok()) return ExitWith(timeout);
  const std::string target = absl::GetFlag(FLAGS_target);
  const absl::StatusOr<ApiClient> client = ApiClientFromFlags(target);
  if (!client.ok()) return ExitWith(client.status());
  if (command == "health") {
    return ShowHealth(target, client->tls, absl::Seconds(absl::GetFlag(FLAGS_timeout_s)));
  }
  return ShowPlacement(target, *client);
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
