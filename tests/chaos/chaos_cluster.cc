#include "tests/chaos/chaos_cluster.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

constexpr char kCoordinator[] = "coordinator";
constexpr char kExpert[] = "expert-";
constexpr char kAttention[] = "attention-";
constexpr absl::Duration kExitTimeout = absl::Seconds(60);

}  // namespace

std::string ChaosCluster::ListPath(const std::string& kind) const {
  return absl::StrCat(lists_.path(), "/", kind, "workers");
}

absl::Status ChaosCluster::WriteList(const std::string& kind) const {
  const std::string path = ListPath(kind);
  const std::string next = absl::StrCat(path, ".next");
  {
    std::ofstream file(next);
    for (const auto& [name, running] : members_) {
      if (!running.listed_as.empty() && absl::StartsWith(name, kind)) {
        file << running.listed_as << "\n";
      }
    }
    if (!file.flush()) return absl::InternalError(absl::StrCat("cannot write ", next));
  }
  std::error_code error;
  std::filesystem::rename(next, path, error);
  if (error) return absl::InternalError(absl::StrCat("cannot write ", path));
  return absl::OkStatus();
}

absl::Status ChaosCluster::Add(Member member) {
  Running running;
  running.member = std::move(member);
  const Member& what = running.member;
  absl::StatusOr<ServerProcess> server = StartServer(what.program, what.flags, what.place);
  if (!server.ok()) return server.status();
  running.server = *std::move(server);
  running.member.place.listen = running.server.address;
  const std::string name = running.member.name;
  running.listed_as = running.server.address;
  members_[name] = std::move(running);
  return WriteList(absl::StrCat(name.substr(0, name.find('-')), "-"));
}

absl::StatusOr<std::string> ChaosCluster::AddExpertWorker(const std::string& experts,
                                                          const std::string& model,
                                                          const ServerPlace& place) {
  const std::string name = absl::StrCat(kExpert, Names(kExpert).size());
  std::vector<std::string> flags = CommonFlags("expert", model);
  flags.push_back(absl::StrCat("--experts=", experts));
  if (!place.network_namespace.empty()) flags.push_back("--allow_plaintext_beyond_loopback");
  const absl::Status added = Add({name, "expert_worker", flags, place});
  if (!added.ok()) return added;
  return name;
}

std::vector<std::string> ChaosCluster::CommonFlags(const std::string& kind,
                                                   const std::string& model) const {
  std::vector<std::string> flags;
  if (certificates_ != nullptr) flags = certificates_->Flags(kind);
  flags.push_back(absl::StrCat("--model=", model.empty() ? DemoModel() : model));
  return flags;
}

absl::StatusOr<std::unique_ptr<ChaosCluster>> ChaosCluster::Start(
    const ChaosClusterOptions& options) {
  std::unique_ptr<ChaosCluster> cluster(new ChaosCluster());
  if (options.mutual_tls) {
    cluster->certificates_ = std::make_unique<ClusterCertificates>();
    cluster->SwapCertificates();
  }
  for (const std::string& hosted : options.experts) {
    const absl::StatusOr<std::string> added = cluster->AddExpertWorker(hosted);
    if (!added.ok()) return added.status();
  }
  const std::string expert_file =
      absl::StrCat("--expert_workers_file=", cluster->ListPath(kExpert));
  for (int i = 0; i < options.num_attention_workers; ++i) {
    std::vector<std::string> flags = cluster->CommonFlags("attention", "");
    flags.push_back(expert_file);
    const absl::Status added =
        cluster->Add({absl::StrCat(kAttention, i), "attention_worker", flags, {}});
    if (!added.ok()) return added;
  }
  std::vector<std::string> flags = cluster->CommonFlags("coordinator", "");
  flags.push_back(options.num_attention_workers == 0
                      ? expert_file
                      : absl::StrCat("--attention_workers_file=", cluster->ListPath(kAttention)));
  absl::StatusOr<ServerProcess> coordinator = StartServer("coordinator", flags);
  if (!coordinator.ok()) return coordinator.status();
  cluster->coordinator_ = *std::move(coordinator);
  TlsClient client;
  if (cluster->certificates_ != nullptr) client = cluster->certificates_->Client("");
  const absl::Status serving =
      AwaitServing(cluster->coordinator_.address, true, absl::Minutes(1), client);
  if (!serving.ok()) return serving;
  cluster->stub_ = v1::Inference::NewStub(Connect(cluster->coordinator_.address, client));
  return cluster;
}

void ChaosCluster::SwapCertificates() {
  const CertificateAuthority ca("chaos");
  certificates_->Issue(ca, absl::Now() + absl::Hours(24));
}

void ChaosCluster::Signal(const std::string& name, int signal_number) {
  members_.at(name).server.process->Signal(signal_number);
}

absl::Status ChaosCluster::Restart(const std::string& name) {
  Running& running = members_.at(name);
  running.server.process.reset();
  const Member& what = running.member;
  absl::StatusOr<ServerProcess> server = StartServer(what.program, what.flags, what.place);
  if (!server.ok()) return server.status();
  running.server = *std::move(server);
  return absl::OkStatus();
}

pid_t ChaosCluster::pid(const std::string& name) const {
  return (name == kCoordinator ? coordinator_ : server(name)).process->pid();
}

absl::Status ChaosCluster::Terminate(const std::string& name) {
  ChildProcess& process = *(name == kCoordinator ? coordinator_ : members_.at(name).server).process;
  process.Signal(SIGTERM);
  const absl::StatusOr<ProcessOutput> output = process.Wait(kExitTimeout);
  if (!output.ok()) return output.status();
  if (output->exit_code == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(name, " exited with ", output->exit_code, ":\n", output->stderr_text));
}

absl::Status ChaosCluster::TerminateAll() {
  absl::Status status = Terminate(kCoordinator);
  for (const auto& [name, running] : members_) status.Update(Terminate(name));
  return status;
}

absl::Status ChaosCluster::Delist(const std::string& name) { return Replace(name, ""); }

absl::Status ChaosCluster::Replace(const std::string& name, const std::string& address) {
  members_.at(name).listed_as = address;
  return WriteList(absl::StrCat(name.substr(0, name.find('-')), "-"));
}

std::vector<std::string> ChaosCluster::Names(const std::string& kind) const {
  std::vector<std::string> names;
  for (const auto& [name, running] : members_) {
    if (absl::StartsWith(name, kind)) names.push_back(name);
  }
  return names;
}

absl::Status ChaosCluster::ForbidMoreMemory(const std::string& name) {
  const pid_t pid = members_.at(name).server.process->pid();
  // In pages: https://www.kernel.org/doc/html/latest/filesystems/proc.html, "statm".
  std::ifstream statm(absl::StrCat("/proc/", pid, "/statm"));
  rlim_t pages = 0;
  if (!(statm >> pages)) return absl::InternalError(absl::StrCat("cannot read the size of ", name));
  const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
  const rlimit limit = {bytes, bytes};
  if (prlimit(pid, RLIMIT_AS, &limit, nullptr) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot limit the memory of ", name));
}

}  // namespace tramontane
