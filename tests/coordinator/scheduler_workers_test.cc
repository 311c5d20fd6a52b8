// One scheduler before several attention workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "coordinator/scheduler.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

GenerationPlan Plan(int prompt_tokens, int max_tokens, int first_token_id = 10) {
  GenerationPlan plan;
  for (int i = 0; i < prompt_tokens; ++i) plan.prompt_token_ids.push_back(first_token_id + i);
  plan.max_tokens = max_tokens;
  return plan;
}

class SchedulerWorkersTest : public testing::Test {
 protected:
  std::vector<AttentionClient*> Workers() { return {&first_, &second_}; }

  static void RunAll(Scheduler& scheduler) {
    while (scheduler.RunOnce()) {
    }
  }

  // Of so many requests of 8 tokens each.
  static std::vector<std::shared_ptr<TokenStream>> RunThreeRounds(Scheduler& scheduler,
                                                                  int num_requests) {
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int i = 0; i < num_requests; ++i) {
      streams.push_back(*scheduler.Submit(Plan(4, 8, 10 + 10 * i), absl::InfiniteFuture()));
    }
    for (int round = 0; round < 3; ++round) scheduler.RunOnce();
    return streams;
  }

  FakeAttentionClient first_, second_;
  SchedulerObserver observer_;
};

TEST_F(SchedulerWorkersTest, SequencesAreSpreadByLoad) {
  Scheduler scheduler(Workers(), nullptr, &observer_, {});
  const auto streams = RunThreeRounds(scheduler, 6);
  EXPECT_EQ(first_.num_sequences(), 3u);
  EXPECT_EQ(second_.num_sequences(), 3u);
  RunAll(scheduler);
  for (const auto& stream : streams) EXPECT_EQ(stream->Take(100).output.token_ids.size(), 8u);
}

TEST_F(SchedulerWorkersTest, APrefixGoesWhereItHasRun) {
  Scheduler scheduler(Workers(), nullptr, &observer_, {});
  const auto other = *scheduler.Submit(Plan(4, 50, 200), absl::InfiniteFuture());
  scheduler.RunOnce();
  const auto opens = *scheduler.Submit(Plan(40, 1), absl::InfiniteFuture());
  for (int i = 0; i < 3; ++i) scheduler.RunOnce();
  ASSERT_TRUE(opens->ended());
  const size_t steps = second_.steps().size();
  ASSERT_GT(steps, 0u) << "the idle worker took it";
  const auto busy = *scheduler.Submit(Plan(4, 50, 230), absl::InfiniteFuture());
  scheduler.RunOnce();
  const auto again = *scheduler.Submit(Plan(40, 1), absl::InfiniteFuture());
  RunAll(scheduler);
  EXPECT_EQ(again->Take(100).output.summary->cached_prompt_tokens, 32);
}

TEST_F(SchedulerWorkersTest, NobodyWaitsWhileAWorkerIsFree) {
  std::promise<void> released;
  first_.set_on_step([gate = released.get_future().share()](const StepRequest&) { gate.wait(); });
  SchedulerOptions options;
  options.max_running_requests = 1;
  Scheduler scheduler(Workers(), nullptr, &observer_, options);
  scheduler.Start();
  // The same beginning, so that the worker which ran it would be everybody's choice.
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 20; ++i) {
    streams.push_back(*scheduler.Submit(Plan(40, 30), absl::InfiniteFuture()));
  }
  // The first worker hangs in a step of one; all others run on the second.
  const auto num_ended = [&streams] {
    return std::count_if(streams.begin(), streams.end(), [](const auto& s) { return s->ended(); });
  };
  while (num_ended() < 19) std::this_thread::yield();
  released.set_value();
  scheduler.Drain(absl::InfiniteFuture());
  for (const auto& stream : streams) EXPECT_EQ(stream->Take(100).output.token_ids.size(), 30u);
}

TEST_F(SchedulerWorkersTest, NobodyWaitsForAWorkerThatHangsInAStep) {
  SchedulerOptions options;
  std::atomic<absl::Time> now = absl::UnixEpoch();
  options.clock = [&now] { return now.load(); };
  Scheduler scheduler(Workers(), nullptr, &observer_, options);
  scheduler.Start();
  const auto await_end = [](TokenStream& stream) {
    while (!stream.ended()) std::this_thread::yield();
  };
  // One worker has run the beginning, and knows how long its steps take.
  const auto opens = *scheduler.Submit(Plan(40, 30), absl::InfiniteFuture());
  await_end(*opens);
  FakeAttentionClient& hangs = first_.steps().empty() ? second_ : first_;
  std::promise<void> released, in_step;
  hangs.set_on_step([&in_step, once = std::make_shared<std::once_flag>(),
                     gate = released.get_future().share()](const StepRequest&) {
    std::call_once(*once, [&in_step] { in_step.set_value(); });
    gate.wait();
  });
  const auto hung = *scheduler.Submit(Plan(40, 30), absl::InfiniteFuture());
  in_step.get_future().wait();
  now = now.load() + absl::Minutes(1);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(*scheduler.Submit(Plan(40, 30), absl::InfiniteFuture()));
  }
  for (const auto& stream : streams) await_end(*stream);
  EXPECT_FALSE(hung->ended());
  released.set_value();
  scheduler.Drain(absl::InfiniteFuture());
  EXPECT_EQ(hung->Take(100).output.token_ids.size(), 30u);
}

TEST_F(SchedulerWorkersTest, AWorkerThatIsGoneHasNoPlaces) {
  SchedulerOptions options;
  options.max_running_requests = 2;
  options.max_waiting_requests = 1;
  absl::Time now = absl::UnixEpoch();
  options.clock = [&now] { return now; };
  Scheduler scheduler(Workers(), nullptr, &observer_, options);
  second_.set_readiness(absl::UnavailableError("gone"));
  scheduler.RunOnce();
  now += options.moment_away;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(*scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()));
  }
  EXPECT_EQ(scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kResourceExhausted);
  second_.set_readiness(absl::OkStatus());
  scheduler.RunOnce();
  EXPECT_TRUE(scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()).ok());
}

TEST_F(SchedulerWorkersTest, AWorkerThatWasLostAMomentAgoHasItsPlacesStill) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  options.max_waiting_requests = 0;
  absl::Time now = absl::UnixEpoch();
  options.clock = [&now] { return now; };
  Scheduler scheduler(Workers(), nullptr, &observer_, options);
  // Nobody has looked yet.
  EXPECT_TRUE(scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()).ok());
  scheduler.RunOnce();
  for (FakeAttentionClient* worker : {&first_, &second_}) {
    worker->set_readiness(absl::UnavailableError("gone"));
  }
  scheduler.RunOnce();
  EXPECT_TRUE(scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()).ok());
  now += options.moment_away;
  EXPECT_EQ(scheduler.Submit(Plan(4, 8), absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(SchedulerWorkersTest, AWorkerThatComesDuringTheDrainKnowsItsDeadline) {
  struct : FakeAttentionClient {
    void EndStepsBy(absl::Time end) override { steps_end = end; }
    absl::Time steps_end = absl::InfiniteFuture();
  } late;
  Scheduler scheduler(Workers(), nullptr, &observer_, {});
  const absl::Time deadline = absl::UnixEpoch() + absl::Hours(1);
  scheduler.Drain(deadline);
  scheduler.AddAttention(&late);
  EXPECT_EQ(late.steps_end, deadline);
}

TEST_F(SchedulerWorkersTest, RequestsOfAWorkerThatAloneLacksItsExpertsMoveToAnother) {
  Scheduler scheduler(Workers(), nullptr, &observer_, {});
  const auto streams = RunThreeRounds(scheduler, 4);
  ASSERT_EQ(first_.num_sequences(), 2u);
  first_.set_readiness(absl::UnavailableError("no expert worker hosts layer 0"));
  first_.FailNextStep(absl::UnavailableError("none came within 30s"));
  RunAll(scheduler);
  EXPECT_EQ(first_.num_sequences(), 0u);
  for (size_t i = 0; i < streams.size(); ++i) {
    const TokenStream::Batch batch = streams[i]->Take(100);
    ASSERT_TRUE(batch.end.has_value());
    EXPECT_TRUE(batch.end->ok()) << *batch.end;
    EXPECT_EQ(batch.output.token_ids.size(), 8u);
  }
  // Where no other takes them, they end.
  const auto alone = *scheduler.Submit(Plan(4, 8), absl::InfiniteFuture());
  scheduler.RunOnce();
  second_.set_readiness(absl::UnavailableError("no expert worker hosts layer 0"));
  second_.FailNextStep(absl::UnavailableError("none came within 30s"));
  RunAll(scheduler);
  EXPECT_EQ(alone->Take(100).end->code(), absl::StatusCode::kUnavailable);
}

TEST_F(SchedulerWorkersTest, AFailedWorkerFailsItsOwnRequestsOnly) {
  Scheduler scheduler(Workers(), nullptr, &observer_, {});
  const auto a = *scheduler.Submit(Plan(4, 8, 10), absl::InfiniteFuture());
  const auto b = *scheduler.Submit(Plan(4, 8, 50), absl::InfiniteFuture());
  scheduler.RunOnce();
  first_.FailNextStep(absl::UnavailableError("gone"));
  RunAll(scheduler);
  const bool a_failed = a->Take(100).end->code() == absl::StatusCode::kUnavailable;
  const bool b_failed = b->Take(100).end->code() == absl::StatusCode::kUnavailable;
  EXPECT_NE(a_failed, b_failed);
}

}  // namespace
}  // namespace tramontane
