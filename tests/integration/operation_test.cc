// What an operator does and sees: late, missing and foreign workers, stops, cancels, metrics,
// flags.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/checkpoint.h"
#include "proto/serving/process.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

v1::GenerateRequest StoryRequest(uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt("Once upon a time");
  request.set_max_tokens(max_tokens);
  request.set_temperature(0);
  request.set_ignore_eos(true);
  return request;
}

ServerProcess Start(const std::string& binary, const std::vector<std::string>& arguments) {
  absl::StatusOr<ServerProcess> server = StartServer(binary, arguments);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : ServerProcess();
}

ServerProcess StartWorker(const std::string& model, const std::string& experts) {
  return Start("expert_worker",
               {absl::StrCat("--model=", model), absl::StrCat("--experts=", experts)});
}

ServerProcess StartCoordinator(const std::string& workers) {
  return Start("coordinator",
               {absl::StrCat("--model=", DemoModel()), absl::StrCat("--expert_workers=", workers)});
}

std::unique_ptr<v1::Inference::Stub> StubFor(const ServerProcess& coordinator) {
  return v1::Inference::NewStub(
      grpc::CreateChannel(coordinator.address, grpc::InsecureChannelCredentials()));
}

std::unique_ptr<Cluster> StartDemo(std::vector<std::string> coordinator_flags = {}) {
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.coordinator_flags = std::move(coordinator_flags);
  absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

TEST(OperationTest, RequestsNameTheExpertsThatHaveNoWorker) {
  ServerProcess worker = StartWorker(DemoModel(), "0-3");
  ServerProcess coordinator = StartCoordinator(worker.address);
  const auto answer = GenerateAll(*StubFor(coordinator), StoryRequest(4));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("4-7"));
}

// The demo model with one weight changed: the same sizes, another checkpoint.
std::string WriteFineTunedDemo(const TemporaryDirectory& directory) {
  std::filesystem::copy(DemoModel(), directory.path());
  const std::string weights = absl::StrCat(directory.path(), "/model.safetensors");
  std::filesystem::permissions(weights, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-2, std::ios::end);
  const char low_byte = static_cast<char>(file.get() ^ 1);
  file.seekp(-2, std::ios::end);
  file.put(low_byte);
  return directory.path();
}

TEST(OperationTest, WorkerOfAnotherCheckpointIsRefusedWithBothDigests) {
  TemporaryDirectory directory;
  const std::string other = WriteFineTunedDemo(directory);
  ServerProcess worker = StartWorker(other, "0-7");
  ServerProcess coordinator = StartCoordinator(worker.address);
  const std::string ours = (*Checkpoint::Open(DemoModel()))->digest();
  const std::string theirs = (*Checkpoint::Open(other))->digest();
  ASSERT_NE(ours, theirs);
  // The refusal is in the answer, once the first look at the worker is over.
  absl::StatusOr<v1::GenerateResponse> answer = absl::UnknownError("");
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  do {
    answer = GenerateAll(*StubFor(coordinator), StoryRequest(4));
  } while (absl::Now() < deadline &&
           answer.status().message().find(theirs) == absl::string_view::npos);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()), AllOf(HasSubstr(ours), HasSubstr(theirs)));
}

TEST(OperationTest, WorkerThatComesLaterMakesTheCoordinatorServe) {
  ServerProcess worker = StartWorker(DemoModel(), "0-7");
  const std::string address = worker.address;
  worker.process.reset();
  ServerProcess coordinator = StartCoordinator(address);
  ASSERT_TRUE(AwaitServing(coordinator.address, false, absl::Seconds(30)).ok());
  absl::StatusOr<std::unique_ptr<ChildProcess>> late = ChildProcess::Start(
      "expert_worker",
      {absl::StrCat("--model=", DemoModel()), "--experts=0-7", absl::StrCat("--listen=", address)});
  ASSERT_TRUE(late.ok()) << late.status();
  const absl::Status serving = AwaitServing(coordinator.address, true, absl::Minutes(1));
  ASSERT_TRUE(serving.ok()) << serving;
  const auto answer = GenerateAll(*StubFor(coordinator), StoryRequest(4));
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST(OperationTest, CoordinatorFinishesWhatRunsBeforeItExits) {
  std::unique_ptr<Cluster> cluster = StartDemo();
  ASSERT_NE(cluster, nullptr);
  grpc::ClientContext context;
  auto reader = cluster->stub().Generate(&context, StoryRequest(400));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  cluster->coordinator().process->Signal(SIGTERM);
  int num_tokens = response.token_ids_size();
  while (reader->Read(&response)) num_tokens += response.token_ids_size();
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(num_tokens, 400);
  EXPECT_EQ(response.finish_reason(), v1::FINISH_REASON_LENGTH);
  const auto exit = cluster->coordinator().process->Wait(absl::Seconds(60));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->exit_code, kExitOk) << exit->stderr_text;
}

TEST(OperationTest, ExpertWorkerExitsCleanlyOnSigterm) {
  ServerProcess worker = StartWorker(DemoModel(), "0-3");
  worker.process->Signal(SIGTERM);
  const auto exit = worker.process->Wait(absl::Seconds(60));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->exit_code, kExitOk) << exit->stderr_text;
}

// With one place for a running request, the second can only run when the first has left.
TEST(OperationTest, CancelledRequestFreesItsPlaceAtOnce) {
  std::unique_ptr<Cluster> cluster = StartDemo({"--max_running_requests=1"});
  ASSERT_NE(cluster, nullptr);
  grpc::ClientContext context;
  auto reader = cluster->stub().Generate(&context, StoryRequest(1000));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  const auto next = GenerateAll(cluster->stub(), StoryRequest(4));
  ASSERT_TRUE(next.ok()) << next.status();
  const auto generated =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_generation_tokens_total");
  ASSERT_TRUE(generated.ok()) << generated.status();
  EXPECT_LT(*generated, 1000);
}

TEST(OperationTest, ExpertTokenCountersAddUp) {
  std::unique_ptr<Cluster> cluster = StartDemo();
  ASSERT_NE(cluster, nullptr);
  v1::GenerateRequest request;
  for (int id : {1, 2742, 868, 261, 586}) request.add_prompt_token_ids(id);
  request.set_max_tokens(3);
  request.set_temperature(0);
  const auto answer = GenerateAll(cluster->stub(), request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  // The third new token is sampled but not run: 5 + 2 rows, 4 layers, top-2.
  const std::string& metrics = cluster->coordinator().metrics_address;
  EXPECT_EQ(ReadMetric(metrics, "tramontane_expert_tokens_total").value_or(-1), 7 * 4 * 2);
  EXPECT_EQ(ReadMetric(metrics, "tramontane_expert_tokens_total", "layer=\"3\"").value_or(-1), 14);
  EXPECT_EQ(ReadMetric(metrics, "tramontane_prompt_tokens_total").value_or(-1), 5);
  EXPECT_EQ(ReadMetric(metrics, "tramontane_generation_tokens_total").value_or(-1), 3);
  // Every layer of each of the 3 steps asked one or both workers.
  const double hops =
      ReadMetric(metrics, "tramontane_expert_hop_seconds_count", "phase=\"compute\"").value_or(-1);
  EXPECT_GE(hops, 3 * 4);
  EXPECT_LE(hops, 3 * 4 * 2);
  double rows = 0;
  for (const ServerProcess& worker : cluster->workers()) {
    rows += ReadMetric(worker.metrics_address, "tramontane_expert_worker_rows_total").value_or(0);
  }
  // And one of each worker's probe.
  EXPECT_EQ(rows, 7 * 4 * 2 + static_cast<double>(cluster->workers().size()));
}

TEST(OperationTest, PlaintextBeyondLoopbackNeedsTheFlag) {
  const auto output = RunProgram("expert_worker", {absl::StrCat("--model=", DemoModel()),
                                                   "--experts=0", "--listen=0.0.0.0:0"});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_NE(output->exit_code, kExitOk);
  EXPECT_THAT(output->stderr_text, HasSubstr("--allow_plaintext_beyond_loopback"));
}

// A port of this process where connections are taken and nothing is answered.
class SilentPort {
 public:
  SilentPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPort() { close(fd_); }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int fd_;
  int port_ = 0;
};

TEST(OperationTest, AProcessThatLoadsSaysSoAndEndsOnSigterm) {
  // For whose answer it waits some seconds before it serves.
  const SilentPort worker;
  const std::string metrics = SilentPort().address();  // free again
  const auto coordinator = ChildProcess::Start(
      "coordinator", {absl::StrCat("--model=", DemoModel()), "--listen=127.0.0.1:0",
                      absl::StrCat("--expert_workers=", worker.address()),
                      absl::StrCat("--metrics_listen=", metrics)});
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  absl::StatusOr<double> loading;
  while (!loading.ok() && (*coordinator)->IsRunning()) {
    loading = ReadMetric(metrics, "tramontane_loading");
  }
  ASSERT_TRUE(loading.ok()) << loading.status() << (*coordinator)->StderrSoFar();
  EXPECT_EQ(*loading, 1);
  (*coordinator)->Signal(SIGTERM);
  const absl::StatusOr<ProcessOutput> output = (*coordinator)->Wait(absl::Seconds(30));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitInterrupted) << output->stderr_text;
  EXPECT_THAT(output->stderr_text, Not(HasSubstr("event=listening")));
}

TEST(OperationTest, AProcessThatServesDoesNotLoad) {
  const ServerProcess worker = StartWorker(DemoModel(), "0-3");
  EXPECT_EQ(ReadMetric(worker.metrics_address, "tramontane_loading").value_or(-1), 0);
  const ServerProcess coordinator = StartCoordinator(worker.address);
  EXPECT_EQ(ReadMetric(coordinator.metrics_address, "tramontane_loading").value_or(-1), 0);
}

TEST(OperationTest, TooLittleMemoryHasAnExitCodeOfItsOwn) {
  const auto output =
      RunProgram("coordinator", {absl::StrCat("--model=", DemoModel()), "--experts_in_process",
                                 "--listen=127.0.0.1:0", "--kv_cache_tokens=1000000000000"});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitMemory) << output->stderr_text;
}

TEST(OperationTest, MissingModelEndsWithItsExitCode) {
  for (const char* binary : {"coordinator", "expert_worker"}) {
    const auto output = RunProgram(binary, {"--model=/nonexistent/model", "--listen=127.0.0.1:0"});
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(output->exit_code, kExitCheckpoint) << output->stderr_text;
    EXPECT_THAT(output->stderr_text, HasSubstr("/nonexistent/model"));
  }
}

TEST(OperationTest, FlagsComeFromAFileAndFromTheEnvironment) {
  TemporaryDirectory directory;
  const std::string flag_file = absl::StrCat(directory.path(), "/flags");
  std::ofstream(flag_file) << "--experts=9\n";
  const auto from_file =
      RunProgram("expert_worker", {absl::StrCat("--model=", DemoModel()), "--listen=127.0.0.1:0",
                                   absl::StrCat("--flagfile=", flag_file)});
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  EXPECT_EQ(from_file->exit_code, kExitUsage) << from_file->stderr_text;
  EXPECT_THAT(from_file->stderr_text, HasSubstr("9"));
  const auto from_environment = RunProgram(
      "expert_worker",
      {absl::StrCat("--model=", DemoModel()), "--listen=127.0.0.1:0", "--fromenv=experts"},
      {"FLAGS_experts=0-77"});
  ASSERT_TRUE(from_environment.ok()) << from_environment.status();
  EXPECT_EQ(from_environment->exit_code, kExitUsage) << from_environment->stderr_text;
  EXPECT_THAT(from_environment->stderr_text, HasSubstr("77"));
}

TEST(OperationTest, TramontanectlTellsWhetherAServerTakesRequests) {
  const auto health = [](const std::string& address) {
    const auto output = RunProgram("tramontanectl",
                                   {"health", absl::StrCat("--target=", address), "--timeout_s=2"});
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : ProcessOutput();
  };
  ServerProcess worker = StartWorker(DemoModel(), "0-3");
  ServerProcess coordinator = StartCoordinator(worker.address);
  EXPECT_EQ(health(worker.address).exit_code, kExitOk);
  const ProcessOutput incomplete = health(coordinator.address);
  EXPECT_EQ(incomplete.exit_code, kExitUnavailable);
  EXPECT_EQ(incomplete.stdout_text, "NOT_SERVING\n");
  worker.process->Signal(SIGKILL);
  const ProcessOutput gone = health(worker.address);
  EXPECT_EQ(gone.exit_code, kExitUnavailable);
  EXPECT_THAT(gone.stderr_text, HasSubstr(worker.address));
}

}  // namespace
}  // namespace tramontane
