// Attention workers as processes: they die, drain, come late, miss experts.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/process.h"
#include "tests/integration/cluster.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<Cluster> StartDemo(int num_attention_workers,
                                   std::vector<std::string> attention_flags = {}) {
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.num_attention_workers = num_attention_workers;
  options.attention_flags = std::move(attention_flags);
  absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

constexpr size_t kStreams = 6;
constexpr uint32_t kTokens = 200;

TEST(AttentionWorkersTest, RequestsOfAKilledWorkerFinishOnAnotherWithTheSameTokens) {
  std::unique_ptr<Cluster> cluster = StartDemo(2);
  ASSERT_NE(cluster, nullptr);
  StoryStreams streams(*cluster, kStreams, kTokens);
  streams.AwaitBegun();
  cluster->attention_workers()[0].process->Signal(SIGKILL);
  streams.Finish();
  ExpectAsAlone(cluster->stub(), streams);
  const auto requeued =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_requeued_requests_total");
  ASSERT_TRUE(requeued.ok()) << requeued.status();
  EXPECT_GT(*requeued, 0);
}

TEST(AttentionWorkersTest, RequestsOfAStoppedWorkerFinishOnAnotherWithTheSameTokens) {
  std::unique_ptr<Cluster> cluster = StartDemo(2);
  ASSERT_NE(cluster, nullptr);
  StoryStreams streams(*cluster, kStreams, kTokens);
  streams.AwaitBegun();
  cluster->attention_workers()[0].process->Signal(SIGSTOP);
  streams.Finish();
  ExpectAsAlone(cluster->stub(), streams);
  const auto requeued =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_requeued_requests_total");
  ASSERT_TRUE(requeued.ok()) << requeued.status();
  EXPECT_GT(*requeued, 0);
  cluster->attention_workers()[0].process->Signal(SIGCONT);
}

TEST(AttentionWorkersTest, ADrainedWorkerFinishesItsRequestsAndExitsWithZero) {
  std::unique_ptr<Cluster> cluster = StartDemo(2, {"--drain_timeout_s=200"});
  ASSERT_NE(cluster, nullptr);
  StoryStreams streams(*cluster, kStreams, kTokens);
  streams.AwaitBegun();
  cluster->attention_workers()[0].process->Signal(SIGTERM);
  streams.Finish();
  const auto ended = cluster->attention_workers()[0].process->Wait(absl::Minutes(1));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->exit_code, kExitOk) << ended->stderr_text;
  ExpectAsAlone(cluster->stub(), streams);
  const auto requeued =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_requeued_requests_total");
  ASSERT_TRUE(requeued.ok()) << requeued.status();
  EXPECT_EQ(*requeued, 0);
}

// Of requests that do not wait for long: for a moment after the loss they would.
absl::StatusOr<v1::GenerateResponse> AskUntilRefused(Cluster& cluster) {
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (true) {
    auto answer = GenerateAll(cluster.stub(), Story(0, 4), absl::Milliseconds(500));
    if (!absl::IsDeadlineExceeded(answer.status()) || absl::Now() >= give_up) return answer;
  }
}

TEST(AttentionWorkersTest, RequestsWaitForTheOnlyOneThatIsAwayForAMoment) {
  std::unique_ptr<Cluster> cluster = StartDemo(1);
  ASSERT_NE(cluster, nullptr);
  ChildProcess& worker = *cluster->attention_workers()[0].process;
  worker.Signal(SIGSTOP);
  ASSERT_TRUE(AwaitServing(cluster->coordinator().address, false, absl::Seconds(30)).ok());
  absl::StatusOr<v1::GenerateResponse> answer = absl::UnknownError("");
  std::thread client([&] { answer = GenerateAll(cluster->stub(), Story(0, 4)); });
  const std::string& metrics = cluster->coordinator().metrics_address;
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (ReadMetric(metrics, "tramontane_num_requests_waiting").value_or(0) == 0 &&
         absl::Now() < give_up) {
    std::this_thread::yield();
  }
  worker.Signal(SIGCONT);
  client.join();
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST(AttentionWorkersTest, WithoutOneTheCoordinatorSaysSoAndServesOnceItIsBack) {
  std::unique_ptr<Cluster> cluster = StartDemo(1);
  ASSERT_NE(cluster, nullptr);
  ServerProcess& worker = cluster->attention_workers()[0];
  const std::string address = worker.address;
  worker.process.reset();
  ASSERT_TRUE(AwaitServing(cluster->coordinator().address, false, absl::Seconds(30)).ok());
  const auto refused = AskUntilRefused(*cluster);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("no attention worker is ready"), HasSubstr(address)));
  absl::StatusOr<std::unique_ptr<ChildProcess>> again = ChildProcess::Start(
      "attention_worker", {absl::StrCat("--model=", DemoModel()), "--experts_in_process",
                           absl::StrCat("--listen=", address)});
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE(AwaitServing(cluster->coordinator().address, true, absl::Minutes(1)).ok());
  const auto answer = GenerateAll(cluster->stub(), Story(0, 4));
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST(AttentionWorkersTest, ExpertsThatAnAttentionWorkerMissesAreNamed) {
  std::unique_ptr<Cluster> cluster = StartDemo(1);
  ASSERT_NE(cluster, nullptr);
  cluster->workers()[1].process.reset();
  ASSERT_TRUE(AwaitServing(cluster->coordinator().address, false, absl::Seconds(30)).ok());
  const auto refused = AskUntilRefused(*cluster);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("4-7"), HasSubstr(cluster->attention_workers()[0].address)));
}

TEST(AttentionWorkersTest, StepsAndExpertsAreCountedWhereAttentionRuns) {
  std::unique_ptr<Cluster> cluster = StartDemo(1);
  ASSERT_NE(cluster, nullptr);
  ASSERT_TRUE(GenerateAll(cluster->stub(), Story(0, 8)).ok());
  const std::string& coordinator = cluster->coordinator().metrics_address;
  const std::string& attention = cluster->attention_workers()[0].metrics_address;
  EXPECT_GT(*ReadMetric(attention, "tramontane_expert_tokens_total"), 0);
  EXPECT_GT(*ReadMetric(attention, "tramontane_step_tokens_count"), 0);
  EXPECT_EQ(*ReadMetric(attention, "tramontane_expert_worker_up"), 2);
  EXPECT_FALSE(ReadMetric(coordinator, "tramontane_expert_tokens_total").ok());
  EXPECT_EQ(*ReadMetric(coordinator, "tramontane_attention_worker_up"), 1);
  EXPECT_EQ(*ReadMetric(coordinator, "tramontane_generation_tokens_total"), 8);
}

TEST(AttentionWorkersTest, ExpertsBesideAttentionWorkersAreRefused) {
  for (const char* flag : {"--experts_in_process", "--expert_workers=127.0.0.1:2"}) {
    const auto ended = RunProgram("coordinator", {absl::StrCat("--model=", DemoModel()), flag,
                                                  "--attention_workers=127.0.0.1:1"});
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(ended->exit_code, kExitUsage);
    EXPECT_THAT(ended->stderr_text, HasSubstr("beside --attention_workers"));
  }
}

}  // namespace
}  // namespace tramontane
