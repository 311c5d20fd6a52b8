// The attention hop with a worker that has no model: answers, losses, refusals, drains.
#include "attention_worker/grpc/grpc_attention_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/attention_worker/grpc/attention_server.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

SequenceSpec Spec(SequenceId id, int num_tokens, int max_total_tokens) {
  SequenceSpec spec;
  spec.id = id;
  spec.max_total_tokens = max_total_tokens;
  for (int i = 0; i < num_tokens; ++i) spec.token_ids.push_back(10 + i);
  spec.max_cached_tokens = num_tokens - 1;
  return spec;
}

StepRequest Prefill(const SequenceSpec& spec, int cached = 0) {
  StepRequest request;
  request.chunks.push_back(
      {spec.id, cached, {spec.token_ids.begin() + cached, spec.token_ids.end()}, {}, true});
  return request;
}

class GrpcAttentionClientTest : public testing::Test {
 protected:
  void StartServer(const std::string& address = "127.0.0.1:0") {
    server_.emplace(&worker_, FakeIdentity(), address);
  }
  void RestartServer() {
    const std::string address = server_->address();
    server_.reset();
    StartServer(address);
  }
  std::unique_ptr<GrpcAttentionClient> NewClient(GrpcAttentionClientOptions options) {
    options.on_change = changes_.Noting();
    return std::make_unique<GrpcAttentionClient>(server_->address(), std::move(options));
  }
  void Connect() {
    StartServer();
    client_ = NewClient(OptionsFor(FakeIdentity()));
    ASSERT_TRUE(AwaitReady(*client_)) << client_->readiness();
  }
  bool AwaitReady(const GrpcAttentionClient& client) {
    return changes_.Await([&client] { return client.readiness().ok(); });
  }
  // Waits until the client says `what` of why it is not ready.
  bool AwaitTrouble(const GrpcAttentionClient& client, const std::string& what) {
    return changes_.Await(
        [&] { return std::string(client.readiness().message()).find(what) != std::string::npos; });
  }
  int64_t FreeBlocks() const { return client_->kv_cache_usage().num_free_blocks; }

  FakeAttentionClient worker_;
  std::optional<AttentionServer> server_;
  Changes changes_;
  std::unique_ptr<GrpcAttentionClient> client_;
};

TEST_F(GrpcAttentionClientTest, AStepGivesWhatTheWorkerGives) {
  Connect();
  const SequenceSpec spec = Spec(1, 20, 40);
  ASSERT_EQ(*client_->AddSequence(spec), 0);
  const auto result = client_->Step(Prefill(spec));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->chunks.size(), 1u);
  EXPECT_EQ(result->chunks[0].sampled->token_id,
            FakeAttentionClient::DefaultNextToken(spec.token_ids, 256));
}

TEST_F(GrpcAttentionClientTest, UsageIsExactAfterEveryCall) {
  Connect();
  EXPECT_EQ(FreeBlocks(), 64);
  const SequenceSpec spec = Spec(1, 20, 40);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  ASSERT_TRUE(client_->Step(Prefill(spec)).ok());
  EXPECT_EQ(FreeBlocks(), 62) << "20 tokens lie in two blocks of 16";
  client_->ReleaseSequence(1);
  EXPECT_EQ(FreeBlocks(), 64);
  EXPECT_EQ(worker_.num_sequences(), 0u);
}

TEST_F(GrpcAttentionClientTest, APrefixIsFoundAgain) {
  Connect();
  const SequenceSpec spec = Spec(1, 40, 60);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  ASSERT_TRUE(client_->Step(Prefill(spec)).ok());
  const SequenceSpec again = Spec(2, 40, 60);
  EXPECT_EQ(*client_->AddSequence(again), 32);
  EXPECT_TRUE(client_->Step(Prefill(again, 32)).ok());
}

TEST_F(GrpcAttentionClientTest, TheWorkersOwnErrorsArriveWithItsName) {
  Connect();
  const auto never = client_->AddSequence(Spec(1, 4, 100'000));
  EXPECT_EQ(never.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(never.status().message()), HasSubstr(client_->address()));
  const SequenceSpec spec = Spec(2, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  worker_.FailNextStep(absl::UnavailableError("layer 3: expert 5 has no worker"));
  const auto failed = client_->Step(Prefill(spec));
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("layer 3: expert 5"));
  EXPECT_TRUE(client_->Step(Prefill(spec)).ok()) << "the same chunks again";
}

TEST_F(GrpcAttentionClientTest, DeadlinesReachTheWorker) {
  Connect();
  const SequenceSpec spec = Spec(1, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  std::atomic<bool> finite{false};
  worker_.set_on_step([&finite](const StepRequest& request) {
    finite = request.deadline < absl::Now() + absl::Hours(1);
  });
  StepRequest request = Prefill(spec);
  request.deadline = absl::Now() + absl::Minutes(30);
  ASSERT_TRUE(client_->Step(request).ok());
  EXPECT_TRUE(finite);
}

TEST_F(GrpcAttentionClientTest, AWorkerThatDiesInAStepIsNamedAndItsSequencesAreLost) {
  Connect();
  const SequenceSpec spec = Spec(1, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  const uint64_t incarnation = client_->incarnation();
  std::promise<void> running, killed;
  worker_.set_on_step([&](const StepRequest&) {
    running.set_value();
    killed.get_future().wait();
  });
  std::thread killer([&] {
    running.get_future().wait();
    server_->Kill();
    killed.set_value();
  });
  const auto result = client_->Step(Prefill(spec));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(client_->address()));
  EXPECT_NE(client_->incarnation(), incarnation) << "known once the call has returned";
  EXPECT_FALSE(client_->readiness().ok());
  killer.join();
}

TEST_F(GrpcAttentionClientTest, ARestartedWorkerIsConnectedAgainWithoutItsSequences) {
  Connect();
  const SequenceSpec spec = Spec(1, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  const uint64_t incarnation = client_->incarnation();
  RestartServer();
  ASSERT_TRUE(changes_.Await([&] {
    return client_->incarnation() != incarnation && client_->readiness().ok();
  })) << client_->readiness();
  EXPECT_EQ(client_->Step(Prefill(spec)).status().code(), absl::StatusCode::kUnavailable);
  client_->ReleaseSequence(1);
  EXPECT_EQ(worker_.num_sequences(), 0u) << "released when the first stream ended";
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  EXPECT_TRUE(client_->Step(Prefill(spec)).ok());
}

TEST_F(GrpcAttentionClientTest, AWorkerThatDoesNotAnswerIsGivenUp) {
  StartServer();
  GrpcAttentionClientOptions options = OptionsFor(FakeIdentity());
  options.answer_timeout = absl::Seconds(1);  // of AddSequence, too
  client_ = NewClient(std::move(options));
  ASSERT_TRUE(AwaitReady(*client_));
  const SequenceSpec spec = Spec(1, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  std::promise<void> gate;
  worker_.set_on_step([future = gate.get_future().share()](const StepRequest&) { future.wait(); });
  const auto result = client_->Step(Prefill(spec));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()),
              ::testing::ContainsRegex("no answer within [0-9.]+s; gave it up"));
  gate.set_value();
}

// Hangs wherever it is asked for no step, until it is let go.
class HangingAttention final : public FakeAttentionClient {
 public:
  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override {
    if (hangs_in_add) released_.wait();
    return FakeAttentionClient::AddSequence(spec);
  }
  void ReleaseSequence(SequenceId id) override {
    released_.wait();
    FakeAttentionClient::ReleaseSequence(id);
  }
  void LetGo() { release_.set_value(); }

  std::atomic<bool> hangs_in_add = false;

 private:
  std::promise<void> release_;
  const std::shared_future<void> released_ = release_.get_future().share();
};

TEST_F(GrpcAttentionClientTest, WhatRunsNoStepIsWaitedForShortly) {
  for (const bool in_add : {true, false}) {
    HangingAttention worker;
    AttentionServer server(&worker, FakeIdentity());
    GrpcAttentionClientOptions options = OptionsFor(FakeIdentity());
    options.answer_timeout = absl::Hours(1);
    options.stepless_timeout = absl::Milliseconds(200);
    options.on_change = changes_.Noting();
    GrpcAttentionClient client(server.address(), std::move(options));
    ASSERT_TRUE(AwaitReady(client));
    const SequenceSpec spec = Spec(1, 4, 10);
    const uint64_t incarnation = client.incarnation();
    worker.hangs_in_add = in_add;
    const auto added = client.AddSequence(spec);
    if (in_add) {
      EXPECT_EQ(added.status().code(), absl::StatusCode::kUnavailable) << "others may take it";
    } else {
      ASSERT_TRUE(added.ok()) << added.status();
      client.ReleaseSequence(spec.id);
    }
    EXPECT_NE(client.incarnation(), incarnation) << "what it had is lost";
    worker.LetGo();
  }
}

TEST_F(GrpcAttentionClientTest, WithoutAWorkerNothingIsTakenAndTheReasonIsSaid) {
  StartServer();
  client_ = NewClient(OptionsFor(FakeIdentity()));
  ASSERT_TRUE(AwaitReady(*client_));
  server_->Kill();
  ASSERT_TRUE(changes_.Await([&] { return !client_->readiness().ok(); }));
  EXPECT_EQ(client_->readiness().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client_->AddSequence(Spec(1, 4, 10)).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(changes_.Await([&] { return !client_->connected(); }));
  const KvCacheUsage usage = client_->kv_cache_usage();
  EXPECT_EQ(usage.block_size, 16);
}

TEST_F(GrpcAttentionClientTest, AWorkerThatDisagreesIsRefusedWithBothValues) {
  StartServer();
  const auto expect_refused = [this](const std::function<void(AttentionWorkerExpectation&)>& change,
                                     const std::string& what, const std::string& expected,
                                     const std::string& found) {
    GrpcAttentionClientOptions options = OptionsFor(FakeIdentity());
    change(options.expected);
    const auto client = NewClient(std::move(options));
    EXPECT_TRUE(AwaitTrouble(*client, what)) << client->readiness();
    EXPECT_THAT(std::string(client->readiness().message()),
                AllOf(HasSubstr("expected " + expected), HasSubstr("found " + found),
                      HasSubstr(server_->address())));
    EXPECT_EQ(client->incarnation(), 1u) << "never connected";
  };
  expect_refused([](auto& e) { e.digest = "d2"; }, "digest", "d2", "d1");
  expect_refused([](auto& e) { e.compute_dtype = "bf16"; }, "compute dtype", "bf16", "f32");
  expect_refused([](auto& e) { e.config.num_layers = 3; }, "num_layers", "3", "2");
  expect_refused([](auto& e) { e.config.vocab_size = 300; }, "vocab_size", "300", "256");
  expect_refused([](auto& e) { e.kv_block_size = 32; }, "KV block size", "32", "16");
  expect_refused([](auto& e) { e.min_step_tokens = 513; }, "max_step_tokens", "at least 513",
                 "512");
}

TEST_F(GrpcAttentionClientTest, ASecondCoordinatorIsRefusedUntilTheFirstIsGone) {
  Connect();
  const auto second = NewClient(OptionsFor(FakeIdentity(), /*coordinator_id=*/2));
  EXPECT_TRUE(AwaitTrouble(*second, "drives this attention worker")) << second->readiness();
  ASSERT_TRUE(client_->AddSequence(Spec(1, 4, 10)).ok());
  client_.reset();
  ASSERT_TRUE(AwaitReady(*second)) << second->readiness();
  EXPECT_TRUE(second->AddSequence(Spec(1, 4, 10)).ok()) << "the first one's sequences are gone";
}

TEST_F(GrpcAttentionClientTest, TheSameCoordinatorTakesTheWorkerOver) {
  StartServer();
  GrpcAttentionClientOptions options = OptionsFor(FakeIdentity());
  options.reconnect = {absl::Minutes(1), absl::Minutes(1)};  // loses once, does not come back
  client_ = NewClient(options);
  ASSERT_TRUE(AwaitReady(*client_)) << client_->readiness();
  ASSERT_TRUE(client_->AddSequence(Spec(1, 4, 10)).ok());
  const uint64_t incarnation = client_->incarnation();
  const auto second = NewClient(OptionsFor(FakeIdentity()));
  ASSERT_TRUE(AwaitReady(*second));
  EXPECT_TRUE(second->AddSequence(Spec(1, 4, 10)).ok());
  EXPECT_TRUE(changes_.Await([&] { return client_->incarnation() != incarnation; }));
}

TEST_F(GrpcAttentionClientTest, MissingExpertsMakeItNotReadyUntilTheyAreThere) {
  Connect();
  server_->service().SetMissingExperts("no expert worker hosts layer 0: experts 4-7");
  EXPECT_TRUE(AwaitTrouble(*client_, "layer 0: experts 4-7"));
  EXPECT_TRUE(client_->connected());
  server_->service().SetMissingExperts("");
  EXPECT_TRUE(AwaitReady(*client_));
}

TEST_F(GrpcAttentionClientTest, ADrainLetsWhatRunsFinishAndTakesNothingNew) {
  Connect();
  const SequenceSpec spec = Spec(1, 4, 10);
  ASSERT_TRUE(client_->AddSequence(spec).ok());
  const uint64_t incarnation = client_->incarnation();
  std::thread drain([this] { server_->service().Drain(absl::Now() + absl::Minutes(1)); });
  EXPECT_TRUE(AwaitTrouble(*client_, "shutting down"));
  EXPECT_EQ(client_->AddSequence(Spec(2, 4, 10)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(client_->Step(Prefill(spec)).ok());
  EXPECT_EQ(client_->incarnation(), incarnation);
  client_->ReleaseSequence(1);
  drain.join();
  EXPECT_TRUE(changes_.Await([&] { return client_->incarnation() != incarnation; }));
}

TEST_F(GrpcAttentionClientTest, ADrainEndsAtItsDeadline) {
  Connect();
  ASSERT_TRUE(client_->AddSequence(Spec(1, 4, 10)).ok());
  const uint64_t incarnation = client_->incarnation();
  server_->service().Drain(absl::Now() + absl::Milliseconds(20));
  EXPECT_TRUE(changes_.Await([&] { return client_->incarnation() != incarnation; }));
}

}  // namespace
}  // namespace tramontane
