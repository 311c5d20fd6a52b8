// Attention workers that are lost, or are not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

// What the fake model makes of a prompt of `prompt_tokens` tokens 10, 11, ….
std::vector<int32_t> Expected(int prompt_tokens, int max_tokens) {
  std::vector<int32_t> token_ids;
  for (int i = 0; i < prompt_tokens; ++i) token_ids.push_back(10 + i);
  for (int i = 0; i < max_tokens; ++i) {
    token_ids.push_back(FakeAttentionClient::DefaultNextToken(token_ids, 256));
  }
  return {token_ids.begin() + prompt_tokens, token_ids.end()};
}

class SchedulerLossTest : public SchedulerFixture {
 protected:
  void LoseTheOnlyWorker() {
    attention_->LoseEverything();
    attention_->set_readiness(absl::UnavailableError("gone"));
  }
};

// Once it dies, it does so at the next question whether it is ready, and reports no blocks.
class DyingAttention final : public FakeAttentionClient {
 public:
  using FakeAttentionClient::FakeAttentionClient;
  void Die() { dies_ = true; }

  absl::Status readiness() const override {
    lost_ = dies_;
    return lost_ ? absl::UnavailableError("gone") : absl::OkStatus();
  }
  uint64_t incarnation() const override { return lost_ ? 1 : 0; }
  KvCacheUsage kv_cache_usage() const override {
    KvCacheUsage usage = FakeAttentionClient::kv_cache_usage();
    if (lost_) usage.num_blocks = usage.num_free_blocks = 0;
    return usage;
  }

 private:
  bool dies_ = false;
  mutable bool lost_ = false;
};

TEST_F(SchedulerLossTest, WhatALostWorkerRanIsComputedAgain) {
  MakeScheduler();
  const auto stream = Submit(Plan(20, 12));
  for (int i = 0; i < 5; ++i) scheduler_->RunOnce();
  attention_->LoseEverything();
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_TRUE(contents.end->ok()) << *contents.end;
  EXPECT_EQ(contents.output.token_ids, Expected(20, 12)) << "nothing lost, nothing twice";
}

TEST_F(SchedulerLossTest, ComputingAgainInChunksOfAnySizeLeavesNothingOut) {
  for (int rounds = 5; rounds < 30; ++rounds) {
    SchedulerOptions options;
    options.max_step_tokens = 4;
    MakeScheduler(options);
    const auto stream = Submit(Plan(8, 24));
    for (int i = 0; i < rounds; ++i) scheduler_->RunOnce();
    attention_->LoseEverything();
    RunAll();
    EXPECT_EQ(Read(*stream).output.token_ids, Expected(8, 24)) << "lost after " << rounds;
  }
}

TEST_F(SchedulerLossTest, AWorkerThatIsLostInAStepFailsNoRequest) {
  MakeScheduler();
  const auto stream = Submit(Plan(20, 12));
  for (int i = 0; i < 5; ++i) scheduler_->RunOnce();
  bool lost = false;
  attention_->set_on_step([this, &lost](const StepRequest&) {
    if (!std::exchange(lost, true)) attention_->LoseEverything();
  });
  RunAll();
  EXPECT_EQ(Read(*stream).output.token_ids, Expected(20, 12));
}

TEST_F(SchedulerLossTest, ARequestWhoseWorkersAreLostTooOftenWithoutANewTokenFails) {
  MakeScheduler();
  const auto stream = Submit(Plan(20, 40));
  for (int i = 0; i < 3; ++i) scheduler_->RunOnce();
  attention_->set_on_step([this](const StepRequest&) { attention_->LoseEverything(); });
  for (int loss = 0; loss < 4; ++loss) {
    EXPECT_FALSE(stream->ended()) << loss;
    scheduler_->RunOnce();
  }
  scheduler_->RunOnce();
  const StreamContents contents = Read(*stream);
  ASSERT_TRUE(contents.end.has_value());
  EXPECT_EQ(contents.end->code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(contents.end->message()), HasSubstr("lost 4 times"));
}

TEST_F(SchedulerLossTest, ALongRequestMayLoseItsWorkerAnyNumberOfTimes) {
  MakeScheduler();
  const auto stream = Submit(Plan(20, 40));
  for (int loss = 0; loss < 12; ++loss) {
    for (int i = 0; i < 3; ++i) scheduler_->RunOnce();
    attention_->LoseEverything();
  }
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_EQ(contents.end, absl::OkStatus());
  EXPECT_EQ(contents.output.token_ids, Expected(20, 40));
}

TEST_F(SchedulerLossTest, WaitingForAWorkerAfterALossIsBounded) {
  SchedulerOptions options;
  options.queue_timeout = absl::Seconds(10);
  MakeScheduler(options);
  const auto stream = Submit(Plan(20, 40));
  scheduler_->RunOnce();
  now_ += absl::Minutes(5);
  scheduler_->RunOnce();
  EXPECT_FALSE(stream->ended()) << "it has started long ago";
  attention_->LoseEverything();
  attention_->set_readiness(absl::UnavailableError("gone"));
  scheduler_->RunOnce();
  now_ += absl::Seconds(9);
  scheduler_->RunOnce();
  EXPECT_FALSE(stream->ended());
  now_ += absl::Seconds(1);
  scheduler_->RunOnce();
  EXPECT_EQ(EndOf(*stream), absl::StatusCode::kUnavailable);
}

TEST_F(SchedulerLossTest, ARequestThatFindsNoWorkerUntilItsQueueTimeIsOverIsToldSo) {
  SchedulerOptions options;
  options.queue_timeout = absl::Seconds(10);
  MakeScheduler(options);
  const auto stream = Submit(Plan(20, 40));
  LoseTheOnlyWorker();
  scheduler_->RunOnce();
  now_ += absl::Seconds(10);
  scheduler_->RunOnce();
  const StreamContents contents = Read(*stream);
  ASSERT_TRUE(contents.end.has_value());
  EXPECT_EQ(*contents.end, absl::UnavailableError("no attention worker is ready: gone"));
  EXPECT_TRUE(observer_.refusals.empty()) << "it is no lack of room";
}

TEST_F(SchedulerLossTest, APreemptedRequestWaitsForAWorkerForABoundedTime) {
  MakeScheduler({}, {.num_blocks = 6, .block_size = 4});
  const auto first = Submit(Plan(4, 20, 10));
  const auto preempted = Submit(Plan(4, 20, 100));
  while (observer_.preemptions == 0) ASSERT_TRUE(scheduler_->RunOnce());
  now_ += absl::Minutes(5);
  LoseTheOnlyWorker();
  scheduler_->RunOnce();
  now_ += absl::Seconds(59);
  scheduler_->RunOnce();
  EXPECT_FALSE(preempted->ended());
  now_ += absl::Seconds(1);
  scheduler_->RunOnce();
  EXPECT_EQ(EndOf(*preempted), absl::StatusCode::kUnavailable);
}

TEST_F(SchedulerLossTest, APreemptedRequestGoesOnWhereAWorkerComesBackInTime) {
  MakeScheduler({}, {.num_blocks = 6, .block_size = 4});
  const auto first = Submit(Plan(4, 20, 10));
  const auto preempted = Submit(Plan(4, 20, 100));
  while (observer_.preemptions == 0) ASSERT_TRUE(scheduler_->RunOnce());
  for (int loss = 0; loss < 3; ++loss) {
    LoseTheOnlyWorker();
    scheduler_->RunOnce();
    now_ += absl::Seconds(40);
    attention_->set_readiness(absl::OkStatus());
    scheduler_->RunOnce();
  }
  RunAll();
  EXPECT_EQ(Read(*first).output.token_ids, Expected(4, 20));
  EXPECT_EQ(EndOf(*preempted), absl::StatusCode::kOk);
}

TEST_F(SchedulerLossTest, ACompletionThatHasItsPromptWaitsForAWorkerForABoundedTime) {
  MakeScheduler();
  GenerationPlan plan = Plan(20, 1);
  plan.num_completions = 2;
  const auto stream = Submit(plan);
  scheduler_->RunOnce();
  ASSERT_EQ(observer_.ended.size(), 1u) << "the other one waits for a place";
  LoseTheOnlyWorker();
  scheduler_->RunOnce();
  now_ += absl::Minutes(1);
  scheduler_->RunOnce();
  EXPECT_EQ(observer_.ended.size(), 2u);
  EXPECT_TRUE(stream->ended());
}

TEST_F(SchedulerLossTest, NobodyIsPreemptedForBlocksThatWereLost) {
  DyingAttention attention(FakeAttentionOptions{.block_size = 1});
  Scheduler scheduler({&attention}, nullptr, &observer_, {});
  const auto first = *scheduler.Submit(Plan(4, 8), absl::InfiniteFuture());
  const auto second = *scheduler.Submit(Plan(4, 8, 50), absl::InfiniteFuture());
  scheduler.RunOnce();
  ASSERT_EQ(scheduler.num_running(), 2);
  attention.Die();
  scheduler.RunOnce();
  EXPECT_EQ(observer_.preemptions, 0);
}

// Refuses the first sequence that it is given.
class RefusingAttention final : public FakeAttentionClient {
 public:
  RefusingAttention(absl::Status refusal, bool lost) : refusal_(std::move(refusal)), lost_(lost) {}

  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override {
    const absl::Status refusal = std::exchange(refusal_, absl::OkStatus());
    if (refusal.ok()) return FakeAttentionClient::AddSequence(spec);
    if (lost_) LoseEverything();
    return refusal;
  }

 private:
  absl::Status refusal_;
  const bool lost_;
};

TEST_F(SchedulerLossTest, AWorkerThatIsLostAsItIsGivenARequestFailsItNot) {
  for (const bool lost : {false, true}) {
    // Without a loss no other error than this says that the worker, not the request, is at fault.
    const absl::Status refusal = lost ? absl::InvalidArgumentError("id in use")
                                      : absl::AbortedError("another stream was opened");
    RefusingAttention attention(refusal, lost);
    Scheduler scheduler({&attention}, nullptr, &observer_, {});
    const auto stream = *scheduler.Submit(Plan(20, 12), absl::InfiniteFuture());
    scheduler.RunOnce();
    while (scheduler.RunOnce()) {
    }
    EXPECT_EQ(Read(*stream).output.token_ids, Expected(20, 12)) << refusal;
  }
}

TEST_F(SchedulerLossTest, ARequestOfAHigherPriorityTakesOnePlaceThoughManyWaitAfterALoss) {
  MakeScheduler({.max_running_requests = 2, .max_waiting_requests = 4});
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) streams.push_back(Submit(Plan(4, 8, 10 + 10 * i)));
  ASSERT_TRUE(scheduler_->RunOnce());
  attention_->set_readiness(absl::UnavailableError("gone"));
  attention_->LoseEverything();
  scheduler_->RunOnce();
  ASSERT_EQ(scheduler_->num_waiting(), 6);
  now_ += absl::Seconds(10);
  GenerationPlan plan = Plan(4, 8, 100);
  plan.priority = 1;
  streams.push_back(Submit(plan));
  scheduler_->RunOnce();
  EXPECT_EQ(observer_.refusals[Refusal::kDisplaced], 1);
}

TEST_F(SchedulerLossTest, AWorkerThatIsNotReadyFinishesWhatItHasAndTakesNothing) {
  MakeScheduler();
  const auto first = Submit(Plan(4, 8));
  scheduler_->RunOnce();
  attention_->set_readiness(absl::UnavailableError("shutting down"));
  const auto second = Submit(Plan(4, 8, 50));
  RunAll();
  EXPECT_TRUE(first->ended());
  EXPECT_FALSE(second->ended());
  attention_->set_readiness(absl::OkStatus());
  RunAll();
  EXPECT_TRUE(second->ended());
}

TEST_F(SchedulerLossTest, RequestsOfALostWorkerMoveToAnother) {
  FakeAttentionClient first, second;
  Scheduler scheduler({&first, &second}, nullptr, &observer_, {});
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) {
    streams.push_back(*scheduler.Submit(Plan(20, 12), absl::InfiniteFuture()));
  }
  for (int i = 0; i < 4; ++i) scheduler.RunOnce();
  ASSERT_GT(first.num_sequences(), 0u);
  first.LoseEverything();
  first.set_readiness(absl::UnavailableError("gone"));
  while (scheduler.RunOnce()) {
  }
  EXPECT_EQ(first.num_sequences(), 0u);
  for (const auto& stream : streams) {
    EXPECT_EQ(Read(*stream).output.token_ids, Expected(20, 12));
  }
}

}  // namespace
}  // namespace tramontane
