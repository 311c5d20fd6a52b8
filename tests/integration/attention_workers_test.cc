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

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

v1::GenerateRequest Story(size_t index, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt(absl::StrCat("Once upon a time there were ", 2 + index, " wolves"));
  request.set_max_tokens(max_tokens);
  request.set_temperature(0.8f);
  request.set_seed(index);
  request.set_logprobs(true);
  request.set_ignore_eos(true);
  return request;
}

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

// Tokens and log-probabilities, as the bits that they are.
std::string Bits(const v1::GenerateResponse& response) {
  v1::GenerateResponse kept;
  *kept.mutable_token_ids() = response.token_ids();
  *kept.mutable_logprobs() = response.logprobs();
  return kept.SerializeAsString();
}

// Streams on threads of their own, of which a test knows when all have begun.
class Streams {
 public:
  Streams(Cluster& cluster, size_t count, uint32_t max_tokens) : answers_(count), statuses_(count) {
    for (size_t i = 0; i < count; ++i) {
      contexts_.push_back(std::make_unique<grpc::ClientContext>());
      contexts_.back()->set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
      readers_.push_back(cluster.stub().Generate(contexts_.back().get(), Story(i, max_tokens)));
    }
  }

  // Reads the first message of each, so that all of them run.
  void AwaitBegun() {
    for (size_t i = 0; i < readers_.size(); ++i) {
      EXPECT_TRUE(readers_[i]->Read(&answers_[i])) << i;
    }
  }

  void Finish() {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < readers_.size(); ++i) {
      threads.emplace_back([this, i] {
        v1::GenerateResponse part;
        while (readers_[i]->Read(&part)) answers_[i].MergeFrom(part);
        statuses_[i] = readers_[i]->Finish();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  const grpc::Status& status(size_t i) const { return statuses_[i]; }
  std::string bits(size_t i) const { return Bits(answers_[i]); }

 private:
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> readers_;
  std::vector<v1::GenerateResponse> answers_;
  std::vector<grpc::Status> statuses_;
};

constexpr size_t kStreams = 6;
constexpr uint32_t kTokens = 200;

void ExpectAsAlone(Cluster& cluster, const Streams& streams) {
  for (size_t i = 0; i < kStreams; ++i) {
    EXPECT_TRUE(streams.status(i).ok()) << i << ": " << streams.status(i).error_message();
    const absl::StatusOr<v1::GenerateResponse> alone =
        GenerateAll(cluster.stub(), Story(i, kTokens));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_EQ(streams.bits(i), Bits(*alone)) << i;
  }
}

TEST(AttentionWorkersTest, RequestsOfAKilledWorkerFinishOnAnotherWithTheSameTokens) {
  std::unique_ptr<Cluster> cluster = StartDemo(2);
  ASSERT_NE(cluster, nullptr);
  Streams streams(*cluster, kStreams, kTokens);
  streams.AwaitBegun();
  cluster->attention_workers()[0].process->Signal(SIGKILL);
  streams.Finish();
  ExpectAsAlone(*cluster, streams);
  const auto requeued =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_requeued_requests_total");
  ASSERT_TRUE(requeued.ok()) << requeued.status();
  EXPECT_GT(*requeued, 0);
}

TEST(AttentionWorkersTest, ADrainedWorkerFinishesItsRequestsAndExitsWithZero) {
  std::unique_ptr<Cluster> cluster = StartDemo(2, {"--drain_timeout_s=200"});
  ASSERT_NE(cluster, nullptr);
  Streams streams(*cluster, kStreams, kTokens);
  streams.AwaitBegun();
  cluster->attention_workers()[0].process->Signal(SIGTERM);
  streams.Finish();
  const auto ended = cluster->attention_workers()[0].process->Wait(absl::Minutes(1));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->exit_code, kExitOk) << ended->stderr_text;
  ExpectAsAlone(*cluster, streams);
  const auto requeued =
      ReadMetric(cluster->coordinator().metrics_address, "tramontane_requeued_requests_total");
  ASSERT_TRUE(requeued.ok()) << requeued.status();
  EXPECT_EQ(*requeued, 0);
}

TEST(AttentionWorkersTest, WithoutOneTheCoordinatorSaysSoAndServesOnceItIsBack) {
  std::unique_ptr<Cluster> cluster = StartDemo(1);
  ASSERT_NE(cluster, nullptr);
  ServerProcess& worker = cluster->attention_workers()[0];
  const std::string address = worker.address;
  worker.process.reset();
  ASSERT_TRUE(AwaitServing(cluster->coordinator().address, false, absl::Seconds(30)).ok());
  const auto refused = GenerateAll(cluster->stub(), Story(0, 4));
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
  const auto refused = GenerateAll(cluster->stub(), Story(0, 4));
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
