#include "tests/hostile/hostile_system.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr absl::Duration kExitTimeout = absl::Minutes(1);
constexpr size_t kLogTail = 3000;

absl::Status TerminateOne(const std::string& name, ChildProcess& process) {
  process.Signal(SIGTERM);
  const absl::StatusOr<ProcessOutput> output = process.Wait(kExitTimeout);
  if (!output.ok()) return absl::InternalError(absl::StrCat(name, ": ", output.status().message()));
  if (output->exit_code == 0) return absl::OkStatus();
  const std::string& log = output->stderr_text;
  return absl::InternalError(absl::StrCat(name, " exited with ", output->exit_code,
                                          "; its log ends:\n",
                                          log.substr(log.size() - std::min(log.size(), kLogTail))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostileSystem>> HostileSystem::Start() {
  std::unique_ptr<HostileSystem> system(new HostileSystem());
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.num_attention_workers = 1;
  // A full queue is another test's.
  options.coordinator_flags = {"--max_waiting_requests=4096"};
  absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
  if (!cluster.ok()) return cluster.status();
  system->cluster_ = *std::move(cluster);
  const std::vector<ServerProcess>& experts = system->cluster_->workers();
  absl::StatusOr<ServerProcess> undriven =
      StartServer("attention_worker",
                  {absl::StrCat("--model=", DemoModel()),
                   absl::StrCat("--expert_workers=", experts[0].address, ",", experts[1].address)});
  if (!undriven.ok()) return undriven.status();
  system->undriven_ = *std::move(undriven);
  const absl::Status serving = AwaitServing(system->undriven_.address, true, absl::Minutes(1));
  if (!serving.ok()) return serving;
  return system;
}

std::vector<HostilePort> HostileSystem::ports() {
  std::vector<HostilePort> ports;
  const auto add = [&](const std::string& name, const ServerProcess& server,
                       std::vector<HostileMethod> methods, int max_calls) {
    HostilePort rpc{name, server.process.get(), {}};
    rpc.attack.address = server.address;
    rpc.attack.methods = std::move(methods);
    rpc.attack.max_calls = max_calls;
    ports.push_back(std::move(rpc));
    HostilePort metrics{absl::StrCat(name, ", metrics"), server.process.get(), {}};
    metrics.attack.address = server.metrics_address;
    ports.push_back(std::move(metrics));
  };
  add("coordinator", cluster_->coordinator(), CoordinatorMethods(), 16);
  add("attention worker", cluster_->attention_workers()[0], AttentionWorkerMethods(), 16);
  add("attention worker without a coordinator", undriven_, AttentionWorkerMethods(), 2);
  add("expert worker", cluster_->workers()[0], ExpertWorkerMethods(), 6);
  return ports;
}

absl::Status HostileSystem::Terminate() {
  absl::Status status = TerminateOne("coordinator", *cluster_->coordinator().process);
  status.Update(TerminateOne("attention worker", *cluster_->attention_workers()[0].process));
  status.Update(TerminateOne("attention worker without a coordinator", *undriven_.process));
  for (ServerProcess& worker : cluster_->workers()) {
    status.Update(TerminateOne("expert worker", *worker.process));
  }
  return status;
}

}  // namespace tramontane
