// More clients than a coordinator has room for, with real processes.
#include <gtest/gtest.h>

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/integration/cluster.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

constexpr int kNumClients = 18;  // three times the places and the queue
constexpr int kCallsOfEach = 6;
constexpr uint32_t kNumTokens = 12;

struct Outcome {
  grpc::Status status;
  int64_t retry_after_ms = -1;  // absent
  uint32_t completion_tokens = 0;
};

Outcome CallOnce(v1::Inference::Stub& stub, size_t index) {
  grpc::ClientContext context;
  const auto reader = stub.Generate(&context, Story(index, kNumTokens));
  Outcome outcome;
  v1::GenerateResponse message;
  while (reader->Read(&message)) {
    if (message.has_usage()) outcome.completion_tokens = message.usage().completion_tokens();
  }
  outcome.status = reader->Finish();
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto hint = trailers.find("grpc-retry-pushback-ms"); hint != trailers.end()) {
    const absl::string_view text(hint->second.data(), hint->second.size());
    EXPECT_TRUE(absl::SimpleAtoi(text, &outcome.retry_after_ms));
  }
  return outcome;
}

TEST(OverloadTest, WhoIsAcceptedIsServedAndTheOthersAreToldWhenToComeBack) {
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.coordinator_flags = {"--max_running_requests=2", "--max_waiting_requests=4",
                               "--kv_cache_tokens=8192"};
  absl::StatusOr<std::unique_ptr<Cluster>> started = Cluster::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;

  std::vector<std::vector<Outcome>> outcomes(kNumClients);
  std::vector<std::thread> clients;
  for (size_t client = 0; client < kNumClients; ++client) {
    clients.emplace_back([&, client] {
      for (size_t i = 0; i < kCallsOfEach; ++i) {
        outcomes[client].push_back(CallOnce(cluster.stub(), client * kCallsOfEach + i));
      }
    });
  }
  for (std::thread& client : clients) client.join();

  int num_ok = 0;
  int num_refused = 0;
  for (const std::vector<Outcome>& of_client : outcomes) {
    for (const Outcome& outcome : of_client) {
      if (outcome.status.ok()) {
        ++num_ok;
        EXPECT_EQ(outcome.completion_tokens, kNumTokens);
        continue;
      }
      ++num_refused;
      EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
          << outcome.status.error_message();
      EXPECT_GT(outcome.retry_after_ms, 0);
    }
  }
  EXPECT_EQ(num_ok + num_refused, kNumClients * kCallsOfEach);
  EXPECT_GE(num_ok, 6);  // all places and the queue were filled at least once
  const std::string& metrics = cluster.coordinator().metrics_address;
  EXPECT_EQ(ReadMetric(metrics, "tramontane_refused_requests_total").value_or(-1), num_refused);
  EXPECT_EQ(ReadMetric(metrics, "tramontane_requests_total", "status=\"OK\"").value_or(-1), num_ok);
}

}  // namespace
}  // namespace tramontane
