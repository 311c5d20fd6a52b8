// Several completions of one prompt: they share its KV blocks and what happens to their request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Gt;
using testing::HasSubstr;

// Tokens of the fixture's plans, and the fake worker's block size.
constexpr int kPrompt = 40;
constexpr int kShared = 32;

using Completions = std::vector<GenerationOutput>;

class SchedulerCompletionsTest : public SchedulerFixture {
 protected:
  static GenerationPlan PlanOf(int num_completions, int max_tokens, int first_token_id = 10) {
    GenerationPlan plan = Plan(kPrompt, max_tokens, first_token_id);
    plan.sampling.seed = 100;
    plan.num_completions = num_completions;
    return plan;
  }

  // Everything so far, by completion, and how the stream ended.
  static Completions ReadAll(TokenStream& stream, int num_completions, absl::Status* end) {
    Completions completions(static_cast<size_t>(num_completions));
    *end = absl::UnknownError("not over");
    for (;;) {
      TokenStream::Batch batch = stream.Take(1'000'000);
      if (batch.end.has_value()) *end = *batch.end;
      if (batch.output.empty()) return completions;
      const auto index = static_cast<size_t>(batch.output.completion_index);
      AppendOutput(std::move(batch.output), completions[index]);
    }
  }

  // What each completion yields as a request of its own, with the scheduler for itself.
  std::vector<std::vector<int32_t>> Alone(const GenerationPlan& plan) {
    std::vector<std::vector<int32_t>> alone;
    for (int i = 0; i < plan.num_completions; ++i) {
      MakeScheduler();
      GenerationPlan one = plan;
      one.num_completions = 1;
      one.sampling.seed += static_cast<uint64_t>(i);
      const auto stream = Submit(one);
      RunAll();
      alone.push_back(Read(*stream).output.token_ids);
    }
    observer_ = {};
    return alone;
  }

  static void ExpectTokens(TokenStream& stream, const std::vector<std::vector<int32_t>>& expected) {
    absl::Status end;
    const Completions completions = ReadAll(stream, static_cast<int>(expected.size()), &end);
    EXPECT_TRUE(end.ok()) << end;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(completions[i].token_ids, expected[i]) << "completion " << i;
      EXPECT_TRUE(completions[i].summary.has_value()) << "completion " << i;
    }
  }
};

TEST_F(SchedulerCompletionsTest, ThePromptsFullBlocksAreComputedOnce) {
  SchedulerOptions options;
  options.max_step_tokens = 10;  // so that the prompt takes several steps
  MakeScheduler(options);
  const auto stream = Submit(PlanOf(4, 6));
  RunAll();
  EXPECT_THAT(observer_.cached_tokens, ElementsAre(0, kShared, kShared, kShared));
  EXPECT_EQ(observer_.prompt_tokens, kPrompt + 3 * (kPrompt - kShared));
  EXPECT_EQ(observer_.new_tokens, 4 * 6);
  EXPECT_THAT(observer_.ended, Each(absl::StatusCode::kOk));
  EXPECT_EQ(observer_.ended.size(), 4u);
}

TEST_F(SchedulerCompletionsTest, EachYieldsWhatItsSeedYieldsAlone) {
  const GenerationPlan plan = PlanOf(4, 6);
  const auto alone = Alone(plan);
  EXPECT_NE(alone[0], alone[1]);
  MakeScheduler();
  const auto stream = Submit(plan);
  RunAll();
  ExpectTokens(*stream, alone);
}

TEST_F(SchedulerCompletionsTest, UsageAddsUpToTheRequests) {
  MakeScheduler();
  const auto stream = Submit(PlanOf(3, 6));
  RunAll();
  absl::Status end;
  const Completions completions = ReadAll(*stream, 3, &end);
  for (int i = 0; i < 3; ++i) {
    const GenerationSummary& summary = *completions[static_cast<size_t>(i)].summary;
    EXPECT_EQ(summary.prompt_tokens, i == 0 ? kPrompt : 0);
    EXPECT_EQ(summary.cached_prompt_tokens, 0) << "nothing was there before the request";
    EXPECT_EQ(summary.completion_tokens, 6);
    EXPECT_EQ(summary.seed, 100u + static_cast<uint64_t>(i));
  }
}

TEST_F(SchedulerCompletionsTest, APromptOfLessThanABlockHoldsNobodyUp) {
  MakeScheduler();
  GenerationPlan plan = Plan(5, 3);
  plan.num_completions = 3;
  const auto stream = Submit(plan);
  scheduler_->RunOnce();
  EXPECT_EQ(observer_.new_tokens, 3);
}

TEST_F(SchedulerCompletionsTest, DetailsOfThePromptComeWithTheFirstOnly) {
  MakeScheduler();
  GenerationPlan plan = PlanOf(2, 3);
  plan.prompt_logprobs = true;
  plan.routing_choices = 2 * 2;  // the fake's layers and top-k
  const auto stream = Submit(plan);
  RunAll();
  absl::Status end;
  const Completions completions = ReadAll(*stream, 2, &end);
  EXPECT_EQ(completions[0].prompt_logprobs.size(), static_cast<size_t>(kPrompt));
  EXPECT_FALSE(completions[0].prompt_routing.expert_ids.empty());
  EXPECT_TRUE(completions[1].prompt_token_ids.empty());
  EXPECT_TRUE(completions[1].prompt_routing.expert_ids.empty());
  EXPECT_EQ(completions[1].routing.expert_ids.size(), completions[0].routing.expert_ids.size());
  EXPECT_THAT(observer_.cached_tokens, ElementsAre(0, kShared));
}

TEST_F(SchedulerCompletionsTest, LaterRequestsDoNotTakeTheirPlaces) {
  SchedulerOptions options;
  options.max_running_requests = 4;
  options.max_step_tokens = 10;
  MakeScheduler(options);
  const auto stream = Submit(PlanOf(4, 30));
  const auto later = Submit(Plan(4, 2, 200));
  for (int i = 0; i < 20; ++i) scheduler_->RunOnce();
  EXPECT_EQ(observer_.num_running, 4);
  EXPECT_TRUE(Read(*later).output.empty());
  RunAll();
  EXPECT_EQ(Read(*later).output.token_ids.size(), 2u);
}

TEST_F(SchedulerCompletionsTest, EachCountsInTheQueueAndAllAreRefusedTogether) {
  SchedulerOptions options;
  options.max_running_requests = 3;
  options.max_waiting_requests = 1;
  MakeScheduler(options);
  const auto stream = Submit(PlanOf(2, 4));
  EXPECT_EQ(scheduler_->num_waiting(), 2);
  const auto refused = scheduler_->Submit(PlanOf(3, 4), absl::InfiniteFuture());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no room for 3 completions"));
  EXPECT_EQ(scheduler_->num_waiting(), 2);
  const auto fits = Submit(PlanOf(2, 4));
  RunAll();
  EXPECT_EQ(observer_.ended.size(), 4u);
}

TEST_F(SchedulerCompletionsTest, MoreThanRunAtOnceAreInvalid) {
  SchedulerOptions options;
  options.max_running_requests = 3;
  MakeScheduler(options);
  const auto refused = scheduler_->Submit(PlanOf(4, 4), absl::InfiniteFuture());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("num_completions is 4; expected at most 3"));
}

TEST_F(SchedulerCompletionsTest, ACancelFreesAllOfThemWhateverTheyDo) {
  SchedulerOptions options;
  options.max_step_tokens = 10;
  for (const int rounds : {0, 2, 12}) {  // they wait, run the prompt, or run all
    MakeScheduler(options);
    observer_ = {};
    const auto stream = Submit(PlanOf(4, 100));
    for (int i = 0; i < rounds; ++i) scheduler_->RunOnce();
    stream->Cancel(absl::CancelledError("gone"));
    scheduler_->RunOnce();
    EXPECT_EQ(observer_.ended.size(), 4u) << rounds;
    EXPECT_THAT(observer_.ended, Each(absl::StatusCode::kCancelled));
    EXPECT_EQ(observer_.num_running + observer_.num_waiting, 0);
    EXPECT_EQ(attention_->num_sequences(), 0u);
    const KvCacheUsage usage = attention_->kv_cache_usage();
    EXPECT_EQ(usage.num_free_blocks, usage.num_blocks) << rounds;
  }
}

TEST_F(SchedulerCompletionsTest, OnceOneHasBegunTheOthersHaveNoQueueTimeout) {
  SchedulerOptions options;
  options.max_running_requests = 2;
  options.queue_timeout = absl::Seconds(10);
  MakeScheduler(options);
  const auto before = Submit(Plan(4, 40, 200));
  scheduler_->RunOnce();
  const auto stream = Submit(PlanOf(2, 30));
  for (int i = 0; i < 5; ++i) scheduler_->RunOnce();
  EXPECT_EQ(observer_.num_waiting, 1);
  now_ += absl::Seconds(11);
  RunAll();
  absl::Status end;
  const Completions completions = ReadAll(*stream, 2, &end);
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(completions[1].token_ids.size(), 30u);
}

TEST_F(SchedulerCompletionsTest, BeforeOneHasBegunTheyTimeOutTogether) {
  SchedulerOptions options;
  options.max_running_requests = 2;
  options.queue_timeout = absl::Seconds(10);
  MakeScheduler(options);
  const auto others = {Submit(Plan(4, 40, 200)), Submit(Plan(4, 40, 220))};
  scheduler_->RunOnce();
  const auto stream = Submit(PlanOf(2, 30));
  now_ += absl::Seconds(11);
  scheduler_->RunOnce();
  EXPECT_EQ(EndOf(*stream), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(observer_.ended.size(), 2u);
  EXPECT_EQ(observer_.refusals[Refusal::kQueueTimeout], 1) << "one request";
}

TEST_F(SchedulerCompletionsTest, PreemptionsChangeNoToken) {
  const GenerationPlan plan = PlanOf(4, 60);
  const auto alone = Alone(plan);
  FakeAttentionOptions attention;
  attention.block_size = 4;
  attention.num_blocks = 40;  // the prompt takes 10, each completion ends with 15 of its own
  MakeScheduler({}, attention);
  const auto stream = Submit(plan);
  RunAll();
  EXPECT_THAT(observer_.preemptions, Gt(0));
  ExpectTokens(*stream, alone);
  EXPECT_EQ(attention_->kv_cache_usage().num_free_blocks, 40);
}

TEST_F(SchedulerCompletionsTest, ALostPromptIsComputedOnceAgain) {
  const GenerationPlan plan = PlanOf(4, 20);
  const auto alone = Alone(plan);
  for (const int rounds : {2, 12}) {  // in the prompt, and after it
    SchedulerOptions options;
    options.max_step_tokens = 10;
    MakeScheduler(options);
    const auto stream = Submit(plan);
    for (int i = 0; i < rounds; ++i) scheduler_->RunOnce();
    attention_->LoseEverything();
    observer_ = {};
    RunAll();
    ExpectTokens(*stream, alone);
    EXPECT_EQ(std::count(observer_.cached_tokens.begin(), observer_.cached_tokens.end(), 0), 1);
  }
}

TEST_F(SchedulerCompletionsTest, ASlowReaderPausesAllOfThem) {
  SchedulerOptions options;
  options.stream_capacity_tokens = 8;
  MakeScheduler(options);
  const GenerationPlan plan = PlanOf(4, 30);
  const auto stream = Submit(plan);
  RunAll();
  EXPECT_LT(observer_.new_tokens, 8 + 4);
  absl::Status end;
  size_t tokens = 0;
  do {
    for (const GenerationOutput& output : ReadAll(*stream, 4, &end)) {
      tokens += output.token_ids.size();
    }
    RunAll();
  } while (!end.ok());
  EXPECT_EQ(tokens, 4u * 30u);
}

TEST_F(SchedulerCompletionsTest, WhereAllOthersAreDoneASlowReaderStillEndsWhoWaits) {
  SchedulerOptions options;
  options.max_running_requests = 2;
  options.stream_capacity_tokens = 4;
  MakeScheduler(options);
  const auto before = Submit(Plan(4, 40, 200));
  scheduler_->RunOnce();
  const auto stream = Submit(PlanOf(2, 4));  // the first fills the stream; the second has no place
  for (int i = 0; i < 60; ++i) {
    scheduler_->RunOnce();
    Read(*before);
  }
  EXPECT_EQ(observer_.num_waiting, 1);
  now_ += options.slow_client_timeout;
  scheduler_->RunOnce();
  absl::Status end;
  ReadAll(*stream, 2, &end);
  EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(observer_.num_waiting, 0);
}

class CompletionsOnTwoWorkersTest : public SchedulerCompletionsTest {
 protected:
  void MakeWorkers(SchedulerOptions options = {}) {
    options.clock = [this] { return now_; };
    attention_ = std::make_unique<FakeAttentionClient>();
    scheduler_ = std::make_unique<Scheduler>(
        std::vector<AttentionClient*>{attention_.get(), &second_}, nullptr, &observer_, options);
  }

  FakeAttentionClient second_;
};

TEST_F(CompletionsOnTwoWorkersTest, AllRunWhereThePromptHasRun) {
  const GenerationPlan plan = PlanOf(8, 6);
  const auto alone = Alone(plan);
  SchedulerOptions options;
  options.max_step_tokens = 10;
  MakeWorkers(options);
  const auto stream = Submit(plan);
  RunAll();
  ExpectTokens(*stream, alone);
  EXPECT_TRUE(attention_->steps().empty() || second_.steps().empty());
  EXPECT_EQ(observer_.prompt_tokens, kPrompt + 7 * (kPrompt - kShared));
}

TEST_F(CompletionsOnTwoWorkersTest, WhereTheirWorkerTakesNobodyOneRunsThePromptElsewhere) {
  const GenerationPlan plan = PlanOf(4, 20);
  const auto alone = Alone(plan);
  MakeWorkers();
  const auto stream = Submit(plan);
  scheduler_->RunOnce();  // one runs the prompt on the first worker
  ASSERT_EQ(attention_->num_sequences(), 1u);
  attention_->set_readiness(absl::UnavailableError("draining"));
  RunAll();
  ExpectTokens(*stream, alone);
  EXPECT_THAT(observer_.cached_tokens, ElementsAre(0, 0, kShared, kShared));
}

TEST_F(CompletionsOnTwoWorkersTest, TheFailureOfOneEndsAll) {
  MakeWorkers();
  const auto stream = Submit(PlanOf(3, 20));
  scheduler_->RunOnce();
  attention_->set_readiness(absl::UnavailableError("draining"));
  for (int i = 0; i < 3; ++i) scheduler_->RunOnce();
  ASSERT_EQ(second_.num_sequences(), 2u);
  second_.FailNextStep(absl::UnavailableError("no expert"));
  RunAll();
  absl::Status end;
  ReadAll(*stream, 3, &end);
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(attention_->num_sequences() + second_.num_sequences(), 0u);
  EXPECT_EQ(observer_.ended.size(), 3u);
  EXPECT_EQ(observer_.num_running + observer_.num_waiting, 0);
}

}  // namespace
}  // namespace tramontane
