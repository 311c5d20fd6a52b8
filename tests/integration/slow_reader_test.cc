// Clients that open streams and never read them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

constexpr int kNumSlowReaders = 24;

v1::GenerateRequest Request(uint32_t first_token, uint32_t max_tokens) {
  v1::GenerateRequest request;
  for (uint32_t t = 0; t < 8; ++t) request.add_prompt_token_ids(3 + (first_token + t) % 500);
  request.set_max_tokens(max_tokens);
  request.set_seed(first_token);
  request.set_temperature(0.8f);
  request.set_ignore_eos(true);
  request.set_logprobs(true);
  return request;
}

struct Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;
};

TEST(SlowReaderTest, OthersGetTheirTokensAndCancelledSlowStreamsLeaveNothing) {
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.coordinator_flags = {"--kv_cache_tokens=30000"};
  absl::StatusOr<std::unique_ptr<Cluster>> started = Cluster::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;
  const auto alone = GenerateAll(cluster.stub(), Request(7, 40));
  ASSERT_TRUE(alone.ok()) << alone.status();

  std::vector<std::unique_ptr<Call>> slow;
  for (uint32_t i = 0; i < kNumSlowReaders; ++i) {
    slow.push_back(std::make_unique<Call>());
    slow.back()->reader = cluster.stub().Generate(&slow.back()->context, Request(100 + i, 1000));
  }
  for (int round = 0; round < 5; ++round) {
    const auto beside = GenerateAll(cluster.stub(), Request(7, 40));
    ASSERT_TRUE(beside.ok()) << beside.status();
    EXPECT_THAT(beside->token_ids(), testing::ElementsAreArray(alone->token_ids()));
    EXPECT_EQ(beside->text(), alone->text());
  }

  // A place in the step they ran in, then nothing is left of them.
  for (const std::unique_ptr<Call>& call : slow) call->context.TryCancel();
  for (const std::unique_ptr<Call>& call : slow) static_cast<void>(call->reader->Finish());
  const std::string& metrics = cluster.coordinator().metrics_address;
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (ReadMetric(metrics, "tramontane_num_requests_running").value_or(-1) != 0) {
    ASSERT_LT(absl::Now(), give_up) << "cancelled requests still run";
  }
  EXPECT_EQ(ReadMetric(metrics, "tramontane_num_requests_waiting").value_or(-1), 0);
}

}  // namespace
}  // namespace tramontane
