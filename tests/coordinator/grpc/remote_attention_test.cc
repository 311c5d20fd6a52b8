// A scheduler before attention workers behind real streams.
#include "coordinator/grpc/remote_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/scheduler.h"
#include "tests/attention_worker/grpc/attention_server.h"
#include "tests/attention_worker/grpc/metric_values.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct CountingObserver : SchedulerObserver {
  void OnPreempted() override { ++preemptions; }
  void OnRequeued() override { ++requeued; }
  std::atomic<int> preemptions{0}, requeued{0};
};

class RemoteAttentionTest : public testing::Test {
 protected:
  void Start(int num_workers, const FakeAttentionOptions& fake = {}) {
    std::vector<std::string> addresses;
    for (int i = 0; i < num_workers; ++i) {
      workers_.push_back(std::make_unique<FakeAttentionClient>(fake));
      servers_.push_back(std::make_unique<AttentionServer>(workers_.back().get(), FakeIdentity()));
      addresses.push_back(servers_.back()->address());
    }
    remote_.emplace(addresses, OptionsFor(FakeIdentity()), &metrics_, [this](bool ready) {
      ready_ = ready;
      changes_.Noting()();
    });
    ASSERT_TRUE(remote_->AwaitFirstAttempts(absl::Seconds(30)));
    ASSERT_TRUE(changes_.Await([this] { return ready_.load(); }));
  }

  static GenerationPlan Plan(int first_token_id, int prompt_tokens, int max_tokens) {
    GenerationPlan plan;
    for (int i = 0; i < prompt_tokens; ++i) plan.prompt_token_ids.push_back(first_token_id + i);
    plan.max_tokens = max_tokens;
    return plan;
  }

  static std::vector<int32_t> Expected(const GenerationPlan& plan) {
    std::vector<int32_t> token_ids = plan.prompt_token_ids;
    std::vector<int32_t> completion;
    for (int i = 0; i < plan.max_tokens; ++i) {
      completion.push_back(FakeAttentionClient::DefaultNextToken(token_ids, 256));
      token_ids.push_back(completion.back());
    }
    return completion;
  }

  // Runs the plans together and compares each with what it yields alone; `meanwhile` runs beside.
  void RunAndCompare(
      const std::vector<GenerationPlan>& plans, const std::function<void()>& meanwhile = [] {}) {
    Scheduler scheduler(remote_->clients(), nullptr, &observer_, {});
    scheduler.Start();
    remote_->set_wake([&scheduler] { scheduler.Wake(); });
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (const GenerationPlan& plan : plans) {
      streams.push_back(*scheduler.Submit(plan, absl::InfiniteFuture()));
    }
    meanwhile();
    scheduler.Drain(absl::Now() + absl::Minutes(1));
    remote_->set_wake(nullptr);
    for (size_t i = 0; i < plans.size(); ++i) {
      const TokenStream::Batch batch = streams[i]->Take(1'000'000);
      ASSERT_TRUE(batch.end.has_value());
      EXPECT_TRUE(batch.end->ok()) << i << ": " << *batch.end;
      EXPECT_EQ(batch.output.token_ids, Expected(plans[i])) << i;
    }
  }

  std::vector<std::unique_ptr<FakeAttentionClient>> workers_;
  std::vector<std::unique_ptr<AttentionServer>> servers_;
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics_{registry_};
  Changes changes_;
  std::atomic<bool> ready_{false};
  CountingObserver observer_;
  std::optional<RemoteAttention> remote_;
};

TEST_F(RemoteAttentionTest, PreemptionsChangeNoToken) {
  Start(1, {.num_blocks = 8});
  std::vector<GenerationPlan> plans;
  for (int i = 0; i < 6; ++i) plans.push_back(Plan(10 + 30 * i, 20, 60));
  RunAndCompare(plans);
  EXPECT_GT(observer_.preemptions, 0);
  EXPECT_EQ(workers_[0]->num_sequences(), 0u);
}

TEST_F(RemoteAttentionTest, RequestsOfAWorkerThatDiesFinishOnTheOther) {
  Start(2);
  std::vector<GenerationPlan> plans;
  for (int i = 0; i < 6; ++i) plans.push_back(Plan(10 + 30 * i, 20, 60));
  // The first worker is in its third step when it dies.
  std::atomic<int> steps{0};
  std::promise<void> running, killed;
  workers_[0]->set_on_step([&](const StepRequest&) {
    if (++steps != 3) return;
    running.set_value();
    killed.get_future().wait();
  });
  RunAndCompare(plans, [&] {
    running.get_future().wait();
    servers_[0]->Kill();
    killed.set_value();
  });
  EXPECT_GT(observer_.requeued, 0);
}

TEST_F(RemoteAttentionTest, ReadinessNamesEveryWorkerOnceNoneIsLeft) {
  Start(2);
  EXPECT_TRUE(remote_->readiness().ok());
  EXPECT_EQ(MetricValue(*registry_, "tramontane_attention_worker_up",
                        {{"worker", servers_[0]->address()}}),
            1);
  servers_[0]->Kill();
  ASSERT_TRUE(changes_.Await([this] {
    return MetricValue(*registry_, "tramontane_attention_worker_up",
                       {{"worker", servers_[0]->address()}}) == 0;
  }));
  EXPECT_TRUE(remote_->readiness().ok()) << "one is enough";
  servers_[1]->service().SetMissingExperts("layer 0: expert 3");
  ASSERT_TRUE(changes_.Await([this] { return !ready_.load(); }));
  const absl::Status readiness = remote_->readiness();
  EXPECT_EQ(readiness.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(readiness.message()),
              AllOf(HasSubstr(servers_[0]->address()), HasSubstr(servers_[1]->address()),
                    HasSubstr("layer 0: expert 3")));
}

}  // namespace
}  // namespace tramontane
