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

class SchedulerLossTest : public SchedulerFixture {};

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
