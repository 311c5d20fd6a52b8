// The scheduler where KV blocks are short or shared, and where some requests matter more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "coordinator/scheduler.h"
#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::Gt;

class SchedulerKvTest : public SchedulerFixture {
 protected:
  // What the plan yields when it has the scheduler for itself.
  std::vector<int32_t> Alone(const GenerationPlan& plan) {
    MakeScheduler();
    const auto stream = Submit(plan);
    RunAll();
    return Read(*stream).output.token_ids;
  }

  // Ids in the order in which they first ran.
  std::vector<SequenceId> Order() const {
    std::vector<SequenceId> order;
    for (const StepRequest& step : attention_->steps()) {
      for (const SequenceChunk& chunk : step.chunks) {
        if (std::find(order.begin(), order.end(), chunk.id) == order.end()) {
          order.push_back(chunk.id);
        }
      }
    }
    return order;
  }
};

TEST_F(SchedulerKvTest, TheLastToComeIsPreemptedAndLosesNothing) {
  std::vector<GenerationPlan> plans;
  for (int i = 0; i < 3; ++i) plans.push_back(Plan(10, 40, 10 + 20 * i));
  std::vector<std::vector<int32_t>> alone;
  for (const GenerationPlan& plan : plans) alone.push_back(Alone(plan));

  FakeAttentionOptions attention;
  attention.block_size = 4;
  attention.num_blocks = 26;  // each of the three ends with 13
  MakeScheduler({}, attention);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const GenerationPlan& plan : plans) streams.push_back(Submit(plan));
  RunAll();
  for (size_t i = 0; i < plans.size(); ++i) {
    const StreamContents contents = Read(*streams[i]);
    EXPECT_TRUE(contents.end->ok()) << *contents.end;
    EXPECT_EQ(contents.output.token_ids, alone[i]) << i;
  }
  EXPECT_THAT(observer_.preemptions, Gt(0));
  EXPECT_EQ(attention_->kv_cache_usage().num_free_blocks, 26);
}

TEST_F(SchedulerKvTest, TheFirstToComeIsNeverPreempted) {
  FakeAttentionOptions attention;
  attention.num_blocks = 6;
  attention.block_size = 4;
  MakeScheduler({}, attention);
  const auto first = Submit(Plan(4, 20, 10));
  const auto second = Submit(Plan(4, 20, 100));
  RunAll();
  EXPECT_TRUE(Read(*first).end->ok());
  EXPECT_TRUE(Read(*second).end->ok());
  int last_position = -1;
  for (const StepRequest& step : attention_->steps()) {
    for (const SequenceChunk& chunk : step.chunks) {
      if (chunk.id != 1) continue;
      EXPECT_GT(chunk.first_position, last_position) << "it ran something twice";
      last_position = chunk.first_position;
    }
  }
  EXPECT_THAT(observer_.preemptions, Gt(0));
}

TEST_F(SchedulerKvTest, APreemptedRequestsDetailsAreStreamedOnce) {
  GenerationPlan plan = Plan(10, 30, 100);
  plan.prompt_logprobs = true;
  plan.logprobs = true;
  plan.routing_choices = 2 * 2;  // the fake's layers and top-k
  FakeAttentionOptions attention;
  attention.block_size = 4;
  attention.num_blocks = 64;
  MakeScheduler({}, attention);
  const auto unhindered = Submit(plan);
  RunAll();
  const GenerationOutput expected = Read(*unhindered).output;

  attention.num_blocks = 12;
  MakeScheduler({}, attention);
  const auto first = Submit(Plan(10, 30, 10));
  const auto preempted = Submit(plan);
  RunAll();
  EXPECT_THAT(observer_.preemptions, Gt(0));
  const GenerationOutput output = Read(*preempted).output;
  EXPECT_EQ(output.token_ids, expected.token_ids);
  EXPECT_EQ(output.logprobs, expected.logprobs);
  EXPECT_EQ(output.prompt_token_ids, expected.prompt_token_ids);
  EXPECT_EQ(output.prompt_logprobs.size(), expected.prompt_logprobs.size());
  EXPECT_EQ(output.prompt_routing.expert_ids, expected.prompt_routing.expert_ids);
  EXPECT_EQ(output.routing.expert_ids, expected.routing.expert_ids);
}

TEST_F(SchedulerKvTest, APrefixThatHasRunIsNotRunAgain) {
  MakeScheduler();
  const auto first = Submit(Plan(40, 2));
  RunAll();
  const auto second = Submit(Plan(40, 2));
  RunAll();
  EXPECT_THAT(observer_.cached_tokens, ElementsAre(0, 32));
  const StreamContents contents = Read(*second);
  EXPECT_EQ(contents.output.token_ids, Read(*first).output.token_ids);
  EXPECT_EQ(contents.output.summary->cached_prompt_tokens, 32);
  EXPECT_EQ(contents.output.summary->prompt_tokens, 40);
}

TEST_F(SchedulerKvTest, RowsWhoseDetailsAreWantedRunWhateverIsCached) {
  MakeScheduler();
  Submit(Plan(40, 2));
  RunAll();
  GenerationPlan plan = Plan(40, 2);
  plan.prompt_logprobs = true;
  const auto stream = Submit(plan);
  RunAll();
  EXPECT_EQ(observer_.cached_tokens.back(), 0);
  EXPECT_EQ(Read(*stream).output.prompt_logprobs.size(), 40u);
}

TEST_F(SchedulerKvTest, EchoHasThePromptsTokensThoughTheyWereCached) {
  MakeScheduler();
  Submit(Plan(40, 2));
  RunAll();
  GenerationPlan plan = Plan(40, 2);
  plan.echo = true;
  const auto stream = Submit(plan);
  RunAll();
  EXPECT_EQ(observer_.cached_tokens.back(), 32);
  EXPECT_EQ(Read(*stream).output.prompt_token_ids, plan.prompt_token_ids);
}

TEST_F(SchedulerKvTest, HigherPrioritiesStartFirst) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  MakeScheduler(options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const int priority : {0, 0, 5, -5, 5}) {
    GenerationPlan plan = Plan(3, 2);
    plan.priority = priority;
    streams.push_back(Submit(plan));
  }
  RunAll();
  EXPECT_THAT(Order(), ElementsAre(3, 5, 1, 2, 4));
}

TEST_F(SchedulerKvTest, ALowerPriorityIsPreemptedForALaterHigherOne) {
  FakeAttentionOptions attention;
  attention.num_blocks = 8;
  attention.block_size = 4;
  MakeScheduler({}, attention);
  GenerationPlan low = Plan(8, 16, 10);
  low.priority = -1;
  const auto first = Submit(low);
  scheduler_->RunOnce();
  const auto second = Submit(Plan(8, 16, 100));
  std::vector<SequenceId> ended;
  while (scheduler_->RunOnce()) {
    if (second->ended() && ended.empty()) ended.push_back(2);
    if (first->ended() && ended.empty()) ended.push_back(1);
  }
  EXPECT_THAT(ended, ElementsAre(2)) << "the higher priority went on";
  EXPECT_THAT(observer_.preemptions, Gt(0));
  EXPECT_TRUE(Read(*first).end->ok());
}

TEST_F(SchedulerKvTest, APausedRequestDoesNotHoldBlocksThatOthersNeed) {
  SchedulerOptions options;
  options.stream_capacity_tokens = 4;
  FakeAttentionOptions attention;
  attention.num_blocks = 8;
  attention.block_size = 4;
  MakeScheduler(options, attention);
  const auto paused = Submit(Plan(12, 12, 10));
  for (int i = 0; i < 8; ++i) scheduler_->RunOnce();
  const auto other = Submit(Plan(8, 16, 100));
  size_t tokens = 0;
  while (scheduler_->RunOnce()) tokens += Read(*other).output.token_ids.size();
  EXPECT_EQ(tokens, 16u);
  // And the paused one goes on when its reader does.
  size_t paused_tokens = Read(*paused).output.token_ids.size();
  while (scheduler_->RunOnce()) paused_tokens += Read(*paused).output.token_ids.size();
  EXPECT_EQ(paused_tokens, 12u);
}

class SchedulerPausedTest : public SchedulerFixture {
 protected:
  void Make(int64_t num_blocks) {
    MakeScheduler({.stream_capacity_tokens = 4}, {.num_blocks = num_blocks, .block_size = 4});
  }

  // Runs until there is nothing to run, with a client that reads at once; returns what it read.
  size_t RunReading(TokenStream& stream) {
    size_t tokens = 0;
    while (scheduler_->RunOnce()) tokens += Read(stream).output.token_ids.size();
    return tokens;
  }
};

TEST_F(SchedulerPausedTest, ItsBlocksAreGivenToOneThatWaits) {
  Make(8);
  const auto paused = Submit(Plan(12, 12, 10));
  RunAll();
  const auto other = Submit(Plan(20, 4, 100));
  EXPECT_EQ(RunReading(*other), 4u);
  EXPECT_EQ(observer_.preemptions, 1);
  const size_t before = Read(*paused).output.token_ids.size();
  EXPECT_EQ(before + RunReading(*paused), 12u);
}

TEST_F(SchedulerPausedTest, OneThatWaitsIsNoticedOnceNobodyRuns) {
  Make(8);
  const auto paused = Submit(Plan(12, 12, 10));
  RunAll();
  const auto short_one = Submit(Plan(1, 3, 50));
  const auto nearly_all = Submit(Plan(28, 4, 100));
  ASSERT_TRUE(scheduler_->RunOnce());
  paused->Cancel(absl::CancelledError("gone"));
  RunAll();
  EXPECT_EQ(RunReading(*nearly_all) + Read(*nearly_all).output.token_ids.size(), 4u);
}

TEST_F(SchedulerPausedTest, OneThatWaitsIsNoticedOnceAnotherPauses) {
  Make(8);
  const auto paused = Submit(Plan(12, 12, 10));
  const auto other = Submit(Plan(20, 4, 100));
  ASSERT_TRUE(scheduler_->RunOnce());
  ASSERT_EQ(scheduler_->num_waiting(), 1);
  EXPECT_EQ(RunReading(*other), 4u);
}

TEST_F(SchedulerPausedTest, ItKeepsItsBlocksWhereTheyAreTooFewForTheOneThatWaits) {
  Make(16);
  const auto paused = Submit(Plan(12, 12, 10));
  RunAll();
  const auto active = Submit(Plan(24, 8, 50));
  ASSERT_TRUE(scheduler_->RunOnce());
  const auto waiting = Submit(Plan(44, 2, 100));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Read(*active).output.token_ids.size(), 1u);
    ASSERT_TRUE(scheduler_->RunOnce());
  }
  EXPECT_EQ(observer_.preemptions, 0);
  RunReading(*active);
  EXPECT_EQ(EndOf(*waiting), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace tramontane
