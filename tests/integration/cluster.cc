#include "tests/integration/cluster.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "proto/health.grpc.pb.h"

namespace tramontane {
namespace {

absl::Status ToAbslStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
}

// The body of http://ADDRESS/metrics.
absl::StatusOr<std::string> Scrape(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  int port = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &port)) {
    return absl::InvalidArgumentError(absl::StrCat("not an address: ", address));
  }
  const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout = {30, 0};
  setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_in target = {};
  target.sin_family = AF_INET;
  target.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, parts[0].c_str(), &target.sin_addr);
  std::string text;
  if (connect(socket_fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)) == 0) {
    const std::string request =
        absl::StrCat("GET /metrics HTTP/1.0\r\nHost: ", address, "\r\n\r\n");
    if (send(socket_fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char buffer[16384];
      ssize_t got;
      while ((got = recv(socket_fd, buffer, sizeof(buffer), 0)) > 0) text.append(buffer, got);
    }
  }
  close(socket_fd);
  if (text.empty()) return absl::UnavailableError(absl::StrCat("no metrics at ", address));
  return text;
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const TlsClient& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return tls.NewChannel(address, std::move(arguments));
}

absl::StatusOr<ServerProcess> Cluster::StartOne(const std::string& binary,
                                                const ClusterOptions& options,
                                                const std::string& flag,
                                                const std::vector<std::string>& more_flags) {
  std::vector<std::string> arguments = {absl::StrCat("--model=", options.model),
                                        absl::StrCat("--compute=", options.compute), flag};
  // On a machine with a GPU, tests/gpu/run.sh.
  if (const char* device = std::getenv("TRAMONTANE_TEST_DEVICE"); device != nullptr) {
    arguments.push_back(absl::StrCat("--device=", device));
  }
  arguments.insert(arguments.end(), more_flags.begin(), more_flags.end());
  return StartServer(binary, arguments);
}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const ClusterOptions& options) {
  std::unique_ptr<Cluster> cluster(new Cluster());
  cluster->options_ = options;
  std::vector<std::string> addresses;
  std::vector<size_t> indices;
  for (const std::string& experts : options.worker_experts) {
    const absl::Status added = cluster->AddExpertWorker(experts);
    if (!added.ok()) return added;
    indices.push_back(addresses.size());
    addresses.push_back(cluster->workers_.back().address);
  }
  std::string peers = addresses.empty()
                          ? "--experts_in_process"
                          : absl::StrCat("--expert_workers=", absl::StrJoin(addresses, ","));
  if (options.list_expert_workers) {
    cluster->ListExpertWorkers(indices);
    peers = absl::StrCat("--expert_workers_file=", cluster->list_path());
  }
  std::vector<std::string> attention_addresses;
  for (int i = 0; i < options.num_attention_workers; ++i) {
    absl::StatusOr<ServerProcess> worker =
        StartOne("attention_worker", options, peers, options.attention_flags);
    if (!worker.ok()) return worker.status();
    attention_addresses.push_back(worker->address);
    cluster->attention_workers_.push_back(*std::move(worker));
  }
  if (!attention_addresses.empty()) {
    peers = absl::StrCat("--attention_workers=", absl::StrJoin(attention_addresses, ","));
  }
  absl::StatusOr<ServerProcess> coordinator =
      StartOne("coordinator", options, peers, options.coordinator_flags);
  if (!coordinator.ok()) return coordinator.status();
  cluster->coordinator_ = *std::move(coordinator);
  const absl::Status serving =
      AwaitServing(cluster->coordinator_.address, true, absl::Minutes(1), options.client_tls);
  if (!serving.ok()) {
    return absl::UnavailableError(
        absl::StrCat(serving.message(), "\n", cluster->coordinator_.process->StderrSoFar()));
  }
  cluster->stub_ =
      v1::Inference::NewStub(Connect(cluster->coordinator_.address, options.client_tls));
  return cluster;
}

absl::Status Cluster::AddExpertWorker(const std::string& experts, const std::string& model) {
  ClusterOptions options = options_;
  if (!model.empty()) options.model = model;
  absl::StatusOr<ServerProcess> worker =
      StartOne("expert_worker", options, absl::StrCat("--experts=", experts), options.worker_flags);
  if (!worker.ok()) return worker.status();
  workers_.push_back(*std::move(worker));
  return absl::OkStatus();
}

void Cluster::ListExpertWorkers(const std::vector<size_t>& indices) {
  const std::string fresh = list_path() + ".new";
  {
    std::ofstream file(fresh);
    for (const size_t index : indices) file << workers_[index].address << "\n";
  }
  std::filesystem::rename(fresh, list_path());
}

absl::Status AwaitServing(const std::string& address, bool serving, absl::Duration timeout,
                          const TlsClient& tls) {
  std::unique_ptr<grpc::health::v1::Health::Stub> stub =
      grpc::health::v1::Health::NewStub(Connect(address, tls));
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  context.set_wait_for_ready(true);
  std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>> reader =
      stub->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse response;
  bool reached = false;
  while (!reached && reader->Read(&response)) {
    reached = (response.status() == grpc::health::v1::HealthCheckResponse::SERVING) == serving;
  }
  context.TryCancel();
  const grpc::Status status = reader->Finish();
  if (reached) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      address, " is not ", serving ? "SERVING" : "NOT_SERVING", ": ", status.error_message()));
}

absl::StatusOr<v1::GenerateResponse> GenerateAll(v1::Inference::Stub& stub,
                                                 const v1::GenerateRequest& request,
                                                 absl::Duration timeout) {
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader =
      stub.Generate(&context, request);
  v1::GenerateResponse all, part;
  while (reader->Read(&part)) {
    const std::string text = absl::StrCat(all.text(), part.text());
    all.MergeFrom(part);
    all.set_text(text);
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return ToAbslStatus(status);
  return all;
}

absl::StatusOr<double> ReadMetric(const std::string& metrics_address, const std::string& name,
                                  const std::string& labels) {
  absl::StatusOr<std::string> text = Scrape(metrics_address);
  if (!text.ok()) return text.status();
  bool found = false;
  double sum = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::StartsWith(line, name)) continue;
    const absl::string_view rest = line.substr(name.size());
    if (rest.empty() || (rest[0] != '{' && rest[0] != ' ')) continue;
    if (!labels.empty() && !absl::StrContains(rest, labels)) continue;
    double value = 0;
    if (!absl::SimpleAtod(rest.substr(rest.rfind(' ') + 1), &value)) continue;
    sum += value;
    found = true;
  }
  if (!found) return absl::NotFoundError(absl::StrCat("no metric ", name, "{", labels, "}"));
  return sum;
}

std::string DemoModel() { return absl::StrCat(TRAMONTANE_SOURCE_DIR, "/deploy/demo_model"); }

std::string GoldenCheckpoint(const std::string& name) {
  return absl::StrCat(TRAMONTANE_SOURCE_DIR, "/tests/golden/", name);
}

}  // namespace tramontane
