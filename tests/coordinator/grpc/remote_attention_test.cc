// A scheduler before attention workers behind real streams.
#include "coordinator/grpc/remote_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
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
  // Resolves once slow_name_ is set.
  static constexpr char kSlowName[] = "127.0.0.1:1";

  void Start(int num_workers, const FakeAttentionOptions& fake = {}) {
    for (int i = 0; i < num_workers; ++i) List(StartWorker(fake));
    RemoteAttentionOptions options;
    options.addresses.listed = [this] {
      const std::lock_guard<std::mutex> lock(list_mutex_);
      return list_;
    };
    options.addresses.resolve = [this](const std::string& target) {
      if (target == kSlowName) slow_name_.get_future().wait();
      return std::vector<std::string>{target};
    };
    options.addresses.list_interval = absl::Milliseconds(1);
    options.client = OptionsFor(FakeIdentity());
    options.leave_timeout = leave_timeout_;
    remote_.emplace(options, &metrics_, [this](bool ready) {
      ready_ = ready;
      changes_.Noting()();
    });
    ASSERT_TRUE(remote_->AwaitFirstAttempts(absl::Seconds(30)));
    ASSERT_TRUE(changes_.Await([this] { return ready_.load(); }));
  }

  // Returns its address.
  std::string StartWorker(const FakeAttentionOptions& fake = {}) {
    workers_.push_back(std::make_unique<FakeAttentionClient>(fake));
    servers_.push_back(std::make_unique<AttentionServer>(workers_.back().get(), FakeIdentity()));
    return servers_.back()->address();
  }
  void List(const std::string& address) {
    const std::lock_guard<std::mutex> lock(list_mutex_);
    list_.push_back(address);
  }
  void Unlist(size_t worker) {
    const std::lock_guard<std::mutex> lock(list_mutex_);
    list_.erase(std::find(list_.begin(), list_.end(), servers_[worker]->address()));
  }
  // Whether the worker is known; not whether it is connected.
  bool IsKnown(size_t worker) {
    for (const prometheus::MetricFamily& family : registry_->Collect()) {
      if (family.name != "tramontane_attention_worker_up") continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (metric.label.front().value == servers_[worker]->address()) return true;
      }
    }
    return false;
  }

  static GenerationPlan Plan(int first_token_id, int prompt_tokens, int max_tokens) {
    GenerationPlan plan;
    for (int i = 0; i < prompt_tokens; ++i) plan.prompt_token_ids.push_back(first_token_id + i);
    plan.max_tokens = max_tokens;
    return plan;
  }

  static std::vector<GenerationPlan> SixPlans() {
    std::vector<GenerationPlan> plans;
    for (int i = 0; i < 6; ++i) plans.push_back(Plan(10 + 30 * i, 20, 60));
    return plans;
  }

  // The first worker's third step says that it runs, and goes on with `go_on`.
  void HoldThirdStep(std::promise<void>& running, std::promise<void>& go_on) {
    workers_[0]->set_on_step([this, &running, &go_on](const StepRequest&) {
      if (++first_steps_ != 3) return;
      running.set_value();
      go_on.get_future().wait();
    });
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
    remote_->set_scheduler([&scheduler] { scheduler.Wake(); },
                           [&scheduler](AttentionClient* added) { scheduler.AddAttention(added); });
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (const GenerationPlan& plan : plans) {
      streams.push_back(*scheduler.Submit(plan, absl::InfiniteFuture()));
    }
    meanwhile();
    scheduler.Drain(absl::Now() + absl::Minutes(1));
    remote_->set_scheduler(nullptr, nullptr);
    for (size_t i = 0; i < plans.size(); ++i) {
      const TokenStream::Batch batch = streams[i]->Take(1'000'000);
      ASSERT_TRUE(batch.end.has_value());
      EXPECT_TRUE(batch.end->ok()) << i << ": " << *batch.end;
      EXPECT_EQ(batch.output.token_ids, Expected(plans[i])) << i;
    }
  }

  absl::Duration leave_timeout_ = absl::Minutes(2);
  std::mutex list_mutex_;
  std::vector<std::string> list_;
  std::vector<std::unique_ptr<FakeAttentionClient>> workers_;
  std::vector<std::unique_ptr<AttentionServer>> servers_;
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics_{registry_};
  Changes changes_;
  std::atomic<bool> ready_{false};
  CountingObserver observer_;
  std::atomic<int> first_steps_{0};  // of HoldThirdStep
  std::promise<void> slow_name_;
  std::optional<RemoteAttention> remote_;
};

TEST_F(RemoteAttentionTest, PreemptionsChangeNoToken) {
  Start(1, {.num_blocks = 8});
  const std::vector<GenerationPlan> plans = SixPlans();
  RunAndCompare(plans);
  EXPECT_GT(observer_.preemptions, 0);
  EXPECT_EQ(workers_[0]->num_sequences(), 0u);
}

TEST_F(RemoteAttentionTest, RequestsOfAWorkerThatDiesFinishOnTheOther) {
  Start(2);
  const std::vector<GenerationPlan> plans = SixPlans();
  // The first worker is in its third step when it dies.
  std::promise<void> running, killed;
  HoldThirdStep(running, killed);
  RunAndCompare(plans, [&] {
    running.get_future().wait();
    servers_[0]->Kill();
    killed.set_value();
  });
  EXPECT_GT(observer_.requeued, 0);
}

TEST_F(RemoteAttentionTest, WorkerThatIsListedLaterTakesRequests) {
  Start(1, {.num_blocks = 8});  // for four of the six prompts, so that some wait
  const std::vector<GenerationPlan> plans = SixPlans();
  // The first worker stays in a step until the second one has had some.
  std::promise<void> second_works;
  std::shared_future<void> go_on = second_works.get_future().share();
  workers_[0]->set_on_step([go_on](const StepRequest&) { go_on.wait(); });
  RunAndCompare(plans, [&] {
    std::atomic<bool> told{false};
    const std::string address = StartWorker();
    workers_[1]->set_on_step([&](const StepRequest&) {
      if (!told.exchange(true)) second_works.set_value();
    });
    List(address);
    go_on.wait();
    workers_[1]->set_on_step(nullptr);
  });
}

TEST_F(RemoteAttentionTest, WorkerThatLeavesTheListFinishesWhatItHas) {
  Start(2);
  const std::vector<GenerationPlan> plans = SixPlans();
  std::promise<void> running, unlisted;
  HoldThirdStep(running, unlisted);
  RunAndCompare(plans, [&] {
    running.get_future().wait();
    Unlist(0);
    unlisted.set_value();
  });
  EXPECT_EQ(observer_.requeued, 0);
  ASSERT_TRUE(changes_.Await([this] { return !IsKnown(0); }));
  EXPECT_TRUE(IsKnown(1));
  EXPECT_TRUE(remote_->readiness().ok());
}

TEST_F(RemoteAttentionTest, RequestsOfAWorkerThatLeftMoveOnceTheTimeIsOver) {
  leave_timeout_ = absl::Milliseconds(10);
  Start(2);
  const std::vector<GenerationPlan> plans = SixPlans();
  // The first worker never answers its third step.
  std::promise<void> running, over;
  HoldThirdStep(running, over);
  RunAndCompare(plans, [&] {
    running.get_future().wait();
    Unlist(0);
  });
  over.set_value();
  EXPECT_GT(observer_.requeued, 0);
}

TEST_F(RemoteAttentionTest, WorkerThatLeftAndIsListedAgainServes) {
  Start(1);
  Unlist(0);
  ASSERT_TRUE(changes_.Await([this] { return !ready_.load(); }));
  EXPECT_THAT(std::string(remote_->readiness().message()), HasSubstr("none is listed"));
  List(servers_[0]->address());
  ASSERT_TRUE(changes_.Await([this] { return ready_.load(); }));
  RunAndCompare({Plan(10, 20, 30)});
}

// Whoever looks at a worker may be the last to hold its client.
TEST_F(RemoteAttentionTest, PlacementMayBeAskedForWhileWorkersComeAndGo) {
  Start(2);
  std::atomic<bool> done{false};
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      while (!done) remote_->Placement();
    });
  }
  bool followed = true;
  for (int i = 0; i < 300 && followed; ++i) {
    Unlist(0);
    followed = changes_.Await([this] { return !IsKnown(0); });
    List(servers_[0]->address());
    followed = followed && changes_.Await([this] { return IsKnown(0); });
  }
  EXPECT_TRUE(followed);
  done = true;
  for (std::thread& asker : askers) asker.join();
}

TEST_F(RemoteAttentionTest, LossesAreKnownWhileANameServerTakesItsTime) {
  Start(2);
  List(kSlowName);
  servers_[0]->Kill();
  ASSERT_TRUE(changes_.Await([this] {
    return MetricValue(*registry_, "tramontane_attention_worker_up",
                       {{"worker", servers_[0]->address()}}) == 0;
  }));
  servers_[1]->Kill();
  ASSERT_TRUE(changes_.Await([this] { return !ready_.load(); }));
  slow_name_.set_value();
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
