// Several completions of one prompt, of real processes.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

constexpr uint32_t kCompletions = 4;
constexpr uint64_t kSeed = 1234;
// Tokens. With KV blocks of 16, 96 of the prompt can be shared.
constexpr uint32_t kPrompt = 100;
constexpr uint32_t kShared = 96;

v1::GenerateRequest Sampled(uint32_t num_completions, uint32_t beginning = 7) {
  v1::GenerateRequest request;
  request.add_prompt_token_ids(1);
  for (uint32_t i = 1; i < kPrompt; ++i) {
    request.add_prompt_token_ids(3 + (beginning + i * 31) % 500);
  }
  request.set_max_tokens(40);
  request.set_temperature(0.9f);
  request.set_seed(kSeed);
  request.set_ignore_eos(true);
  request.set_logprobs(true);
  request.set_top_logprobs(2);
  request.set_num_completions(num_completions);
  return request;
}

// The completions of one request, each merged.
std::vector<v1::GenerateResponse> Generate(v1::Inference::Stub& stub,
                                           const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  const auto reader = stub.Generate(&context, request);
  std::vector<v1::GenerateResponse> completions(request.num_completions());
  v1::GenerateResponse part;
  while (reader->Read(&part)) {
    v1::GenerateResponse& all = completions.at(part.completion_index());
    const std::string text = all.text() + part.text();
    all.MergeFrom(part);
    all.set_text(text);
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return completions;
}

// What does not tell how, or in which company, a completion was made.
std::string Bits(v1::GenerateResponse response) {
  response.clear_timings();
  response.clear_completion_index();
  response.mutable_usage()->clear_prompt_tokens();
  response.mutable_usage()->clear_cached_prompt_tokens();
  return response.SerializeAsString();
}

std::unique_ptr<Cluster> StartDemo(int num_attention_workers, std::vector<std::string> flags) {
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.num_attention_workers = num_attention_workers;
  options.coordinator_flags = flags;
  options.attention_flags = std::move(flags);
  absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

// Of four requests of their own, with the seeds that the API derives.
std::vector<std::string> Separately(Cluster& cluster) {
  std::vector<std::string> bits;
  for (uint32_t i = 0; i < kCompletions; ++i) {
    v1::GenerateRequest request = Sampled(1);
    request.set_seed(kSeed + i);
    bits.push_back(Bits(Generate(cluster.stub(), request)[0]));
  }
  EXPECT_NE(bits[0], bits[1]);
  return bits;
}

void ExpectBits(const std::vector<v1::GenerateResponse>& completions,
                const std::vector<std::string>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(Bits(completions[i]), expected[i]) << "completion " << i;
  }
}

double Metric(Cluster& cluster, const std::string& name) {
  return ReadMetric(cluster.coordinator().metrics_address, name).value_or(-1);
}

// Waits, at most a minute, until a gauge that follows each round is 0.
void AwaitZero(Cluster& cluster, const std::string& name) {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (Metric(cluster, name) != 0 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(Metric(cluster, name), 0) << name;
}

// By the number of attention workers; 0: attention runs in the coordinator.
class CompletionsTest : public testing::TestWithParam<int> {};

TEST_P(CompletionsTest, AreThoseOfSeparateRequestsAndShareThePrompt) {
  const std::unique_ptr<Cluster> cluster = StartDemo(GetParam(), {"--max_step_tokens=48"});
  ASSERT_NE(cluster, nullptr);
  const std::vector<v1::GenerateResponse> completions =
      Generate(cluster->stub(), Sampled(kCompletions));
  // Nothing ran before: the prompt once, and then only what is in no full block.
  EXPECT_EQ(Metric(*cluster, "tramontane_prompt_tokens_total"),
            kPrompt + (kCompletions - 1) * (kPrompt - kShared));
  EXPECT_EQ(Metric(*cluster, "tramontane_prefix_cache_hits_total"), (kCompletions - 1) * kShared);
  ExpectBits(completions, Separately(*cluster));
}

TEST_P(CompletionsTest, PreemptionsChangeNoBit) {
  std::vector<std::string> expected;
  {
    const std::unique_ptr<Cluster> quiet = StartDemo(0, {});
    ASSERT_NE(quiet, nullptr);
    expected = Separately(*quiet);
  }
  // The prompt takes 7 blocks, each completion ends with 3 of its own; there are 14 on each worker.
  const std::unique_ptr<Cluster> cluster =
      StartDemo(GetParam(), {"--kv_cache_tokens=224", "--max_step_tokens=48"});
  ASSERT_NE(cluster, nullptr);
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 6; ++client) {
    clients.emplace_back([&cluster, &expected, client] {
      const bool checked = client % 2 == 0;
      const v1::GenerateRequest request = Sampled(kCompletions, checked ? 7 : 50 + client);
      const std::vector<v1::GenerateResponse> completions = Generate(cluster->stub(), request);
      if (checked) ExpectBits(completions, expected);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(Metric(*cluster, "tramontane_preemptions_total"), 0);
  AwaitZero(*cluster, "tramontane_kv_cache_usage_ratio");
}

TEST_P(CompletionsTest, ACancelFreesTheBlocksOfAll) {
  const std::unique_ptr<Cluster> cluster = StartDemo(GetParam(), {});
  ASSERT_NE(cluster, nullptr);
  v1::GenerateRequest request = Sampled(kCompletions);
  request.set_max_tokens(900);
  grpc::ClientContext context;
  const auto reader = cluster->stub().Generate(&context, request);
  v1::GenerateResponse part;
  while (reader->Read(&part) && part.completion_index() + 1 < kCompletions) {
  }
  EXPECT_GT(Metric(*cluster, "tramontane_kv_cache_usage_ratio"), 0);
  context.TryCancel();
  while (reader->Read(&part)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  AwaitZero(*cluster, "tramontane_num_requests_running");
  AwaitZero(*cluster, "tramontane_kv_cache_usage_ratio");
  AwaitZero(*cluster, "tramontane_num_requests_waiting");
}

INSTANTIATE_TEST_SUITE_P(AttentionWorkers, CompletionsTest, testing::Values(0, 2));

TEST(CompletionsLimitTest, IsNamedByTheServer) {
  const std::unique_ptr<Cluster> cluster = StartDemo(0, {"--max_running_requests=3"});
  ASSERT_NE(cluster, nullptr);
  for (const uint32_t count : {4u, 17u}) {
    grpc::ClientContext context;
    const auto reader = cluster->stub().Generate(&context, Sampled(count));
    v1::GenerateResponse part;
    EXPECT_FALSE(reader->Read(&part));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), testing::HasSubstr("num_completions is"));
  }
}

}  // namespace
}  // namespace tramontane
