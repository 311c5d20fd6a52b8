// Under a random load, with a KV cache that is always too small, every request yields the bits that
// it yields alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

constexpr int kNumRequests = 160;
constexpr int kNumClients = 16;

// Prompts share a few beginnings of some blocks; lengths, sampling, priorities and wishes differ.
std::vector<v1::GenerateRequest> RandomRequests(uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&random](uint32_t limit) { return random() % limit; };
  std::vector<v1::GenerateRequest> requests;
  for (uint32_t i = 0; i < kNumRequests; ++i) {
    v1::GenerateRequest request;
    request.add_prompt_token_ids(1);
    const uint32_t beginning = below(4);
    for (uint32_t t = 0; t < 16 * (1 + below(4)); ++t) {
      request.add_prompt_token_ids(3 + (beginning * 97 + t * 31) % 500);
    }
    for (uint32_t t = 0; t < below(40); ++t) request.add_prompt_token_ids(3 + below(500));
    request.set_max_tokens(1 + below(60));
    request.set_temperature(below(2) == 0 ? 0.0f : 0.9f);
    request.set_repetition_penalty(below(4) == 0 ? 1.2f : 1.0f);
    request.set_seed(i);
    request.set_ignore_eos(true);
    request.set_priority(static_cast<int32_t>(below(3)) - 1);
    request.set_logprobs(true);
    request.set_top_logprobs(below(3));
    request.set_prompt_logprobs(below(5) == 0);
    request.set_routing(below(5) == 0);
    requests.push_back(request);
  }
  return requests;
}

// All of an answer but what tells how it was made.
std::string Bits(v1::GenerateResponse response) {
  response.clear_timings();
  response.mutable_usage()->clear_cached_prompt_tokens();
  return response.SerializeAsString();
}

// Reads `num_messages` messages, then goes away.
void CancelAfter(v1::Inference::Stub& stub, const v1::GenerateRequest& request, int num_messages) {
  grpc::ClientContext context;
  const auto reader = stub.Generate(&context, request);
  v1::GenerateResponse response;
  for (int i = 0; i < num_messages && reader->Read(&response); ++i) {
  }
  context.TryCancel();
  static_cast<void>(reader->Finish());
}

// By the number of attention workers; 0: attention runs in the coordinator.
class LoadIdentityTest : public testing::TestWithParam<int> {};

TEST_P(LoadIdentityTest, EveryRequestYieldsWhatItYieldsAlone) {
  ClusterOptions options;
  options.model = DemoModel();
  options.coordinator_flags = {"--kv_cache_tokens=4096"};
  absl::StatusOr<std::unique_ptr<Cluster>> quiet = Cluster::Start(options);
  ASSERT_TRUE(quiet.ok()) << quiet.status();
  const std::vector<v1::GenerateRequest> requests = RandomRequests(11);
  std::vector<std::string> expected;
  for (const v1::GenerateRequest& request : requests) {
    const absl::StatusOr<v1::GenerateResponse> answer = GenerateAll((*quiet)->stub(), request);
    ASSERT_TRUE(answer.ok()) << answer.status();
    expected.push_back(Bits(*answer));
  }
  quiet->reset();

  options.worker_experts = {"0-3", "4-7"};
  options.num_attention_workers = GetParam();
  options.coordinator_flags = {"--kv_cache_tokens=224", "--max_step_tokens=48"};
  options.attention_flags = options.coordinator_flags;
  absl::StatusOr<std::unique_ptr<Cluster>> loaded = Cluster::Start(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  Cluster& cluster = **loaded;
  std::atomic<size_t> next{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < kNumClients; ++client) {
    clients.emplace_back([&] {
      for (size_t i = next++; i < requests.size(); i = next++) {
        // Now and then somebody goes away in between.
        if (i % 5 == 0) CancelAfter(cluster.stub(), requests[i], static_cast<int>(i % 7));
        const absl::StatusOr<v1::GenerateResponse> answer =
            GenerateAll(cluster.stub(), requests[i]);
        ASSERT_TRUE(answer.ok()) << i << ": " << answer.status();
        EXPECT_EQ(Bits(*answer), expected[i]) << "request " << i;
      }
    });
  }
  for (std::thread& client : clients) client.join();

  const std::string& metrics = cluster.coordinator().metrics_address;
  EXPECT_GT(ReadMetric(metrics, "tramontane_preemptions_total").value_or(0), 0);
  EXPECT_GT(ReadMetric(metrics, "tramontane_prefix_cache_hits_total").value_or(0), 0);
}

INSTANTIATE_TEST_SUITE_P(AttentionWorkers, LoadIdentityTest, testing::Values(0, 2));

// More streams than could ever run: none fails with anything but a full queue, and all that were
// accepted end.
TEST(ManyStreamsTest, AThousandStreamsAreServedOrRefused) {
  constexpr int kNumStreams = 1000;
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-3", "4-7"};
  options.coordinator_flags = {"--kv_cache_tokens=2048", "--max_running_requests=32",
                               "--max_waiting_requests=700", "--queue_timeout_s=0"};
  absl::StatusOr<std::unique_ptr<Cluster>> started = Cluster::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;
  };
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < kNumStreams; ++i) {
    v1::GenerateRequest request;
    for (uint32_t t = 0; t < 8; ++t) request.add_prompt_token_ids(3 + (i * 8 + t) % 500);
    request.set_max_tokens(4);
    request.set_ignore_eos(true);
    calls.push_back(std::make_unique<Call>());
    calls.back()->reader = cluster.stub().Generate(&calls.back()->context, request);
  }
  int num_ok = 0;
  int num_refused = 0;
  for (const std::unique_ptr<Call>& call : calls) {
    v1::GenerateResponse response;
    int num_tokens = 0;
    while (call->reader->Read(&response)) num_tokens += response.token_ids_size();
    const grpc::Status status = call->reader->Finish();
    if (status.ok()) {
      ++num_ok;
      EXPECT_EQ(num_tokens, 4);
    } else {
      ++num_refused;
      EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
          << status.error_message();
    }
  }
  EXPECT_EQ(num_ok + num_refused, kNumStreams);
  EXPECT_GE(num_ok, 700);
  const std::string& metrics = cluster.coordinator().metrics_address;
  EXPECT_EQ(ReadMetric(metrics, "tramontane_num_requests_running").value_or(-1), 0);
  EXPECT_EQ(ReadMetric(metrics, "tramontane_num_requests_waiting").value_or(-1), 0);
}

}  // namespace
}  // namespace tramontane
