#include "coordinator/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SchedulerTest : public SchedulerFixture {
 protected:
  // Rows of each chunk of each step that ran.
  std::vector<std::vector<int>> StepRows() const {
    std::vector<std::vector<int>> rows;
    for (const StepRequest& step : attention_->steps()) {
      rows.emplace_back();
      for (const SequenceChunk& chunk : step.chunks) {
        rows.back().push_back(static_cast<int>(chunk.token_ids.size()));
      }
    }
    return rows;
  }
};

TEST_F(SchedulerTest, GeneratesMaxTokensAndReleasesTheSequence) {
  MakeScheduler();
  const auto stream = Submit(Plan(4, 3));
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_EQ(contents.output.token_ids.size(), 3u);
  ASSERT_TRUE(contents.output.summary.has_value());
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kLength);
  EXPECT_EQ(contents.output.summary->prompt_tokens, 4);
  EXPECT_EQ(contents.output.summary->completion_tokens, 3);
  EXPECT_TRUE(contents.end->ok());
  EXPECT_EQ(attention_->num_sequences(), 0u);
  EXPECT_EQ(attention_->kv_cache_usage().num_free_blocks, attention_->kv_cache_usage().num_blocks);
  EXPECT_EQ(observer_.prompt_tokens, 4);
  EXPECT_EQ(observer_.new_tokens, 3);
  EXPECT_EQ(observer_.num_running, 0);
}

TEST_F(SchedulerTest, PromptsAreCutIntoChunksOfTheBudget) {
  SchedulerOptions options;
  options.max_step_tokens = 4;
  MakeScheduler(options);
  Submit(Plan(10, 2));
  RunAll();
  EXPECT_THAT(StepRows(),
              ElementsAre(ElementsAre(4), ElementsAre(4), ElementsAre(2), ElementsAre(1)));
}

TEST_F(SchedulerTest, StepsMixDecodeRowsWithChunksOfTheOldestPrompts) {
  SchedulerOptions options;
  options.max_step_tokens = 8;
  MakeScheduler(options);
  Submit(Plan(3, 5));
  scheduler_->RunOnce();
  Submit(Plan(9, 2));
  Submit(Plan(4, 2));
  RunAll();
  // Decode first, then the older prompt, then what the younger can have.
  EXPECT_THAT(StepRows(), ElementsAre(ElementsAre(3), ElementsAre(1, 7), ElementsAre(1, 2, 4),
                                      ElementsAre(1, 1, 1), ElementsAre(1)));
}

TEST_F(SchedulerTest, MoreSequencesThanBudgetStillAllGetOn) {
  SchedulerOptions options;
  options.max_step_tokens = 2;
  MakeScheduler(options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(Submit(Plan(3, 4)));
  RunAll();
  for (const auto& stream : streams) EXPECT_EQ(Read(*stream).output.token_ids.size(), 4u);
}

TEST_F(SchedulerTest, SchedulingDoesNotChangeTokens) {
  std::vector<std::vector<int32_t>> alone;
  for (int prompt_tokens : {3, 9, 17}) {
    MakeScheduler();
    const auto stream = Submit(Plan(prompt_tokens, 6));
    RunAll();
    alone.push_back(Read(*stream).output.token_ids);
  }
  SchedulerOptions options;
  options.max_step_tokens = 5;
  MakeScheduler(options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int prompt_tokens : {3, 9, 17}) streams.push_back(Submit(Plan(prompt_tokens, 6)));
  RunAll();
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(Read(*streams[i]).output.token_ids, alone[i]);
  }
}

TEST_F(SchedulerTest, FirstComeFirstServedEvenWhereALaterOneWouldFit) {
  FakeAttentionOptions attention;
  attention.num_blocks = 4;
  attention.block_size = 16;
  MakeScheduler({}, attention);
  const auto first = Submit(Plan(40, 4));   // 3 blocks
  const auto second = Submit(Plan(30, 4));  // 3 blocks: waits
  const auto third = Submit(Plan(4, 4));    // 1 block: would fit
  scheduler_->RunOnce();
  EXPECT_EQ(scheduler_->num_running(), 1);
  EXPECT_EQ(scheduler_->num_waiting(), 2);
  RunAll();
  for (const auto& stream : {first, second, third}) {
    EXPECT_EQ(Read(*stream).output.token_ids.size(), 4u);
  }
  std::vector<SequenceId> order;
  for (const StepRequest& step : attention_->steps()) {
    for (const SequenceChunk& chunk : step.chunks) {
      if (std::find(order.begin(), order.end(), chunk.id) == order.end()) order.push_back(chunk.id);
    }
  }
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(SchedulerTest, RequestThatCanNeverFitFailsWithTheWorkersWords) {
  FakeAttentionOptions attention;
  attention.num_blocks = 1;
  MakeScheduler({}, attention);
  const auto stream = Submit(Plan(20, 4));
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_EQ(contents.end->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(contents.end->message()), HasSubstr("24"));
}

TEST_F(SchedulerTest, FullQueueIsRefusedAndEmptiesAgain) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  options.max_waiting_requests = 2;
  MakeScheduler(options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(Submit(Plan(2, 2)));
  const auto refused = scheduler_->Submit(Plan(2, 2), absl::InfiniteFuture());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("limit 2"));
  RunAll();
  EXPECT_TRUE(scheduler_->Submit(Plan(2, 2), absl::InfiniteFuture()).ok());
}

TEST_F(SchedulerTest, StreamsThatNobodyReadsToTheirEndAreBounded) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  options.max_waiting_requests = 1;
  MakeScheduler(options);
  std::vector<std::shared_ptr<TokenStream>> unread;
  for (int i = 0; i < 4; ++i) {
    unread.push_back(Submit(Plan(2, 2)));
    RunAll();
  }
  EXPECT_EQ(scheduler_->Submit(Plan(2, 2), absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kResourceExhausted);
  unread.pop_back();
  EXPECT_TRUE(scheduler_->Submit(Plan(2, 2), absl::InfiniteFuture()).ok());
}

TEST_F(SchedulerTest, QueueTimeoutEndsTheWait) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  options.queue_timeout = absl::Seconds(10);
  MakeScheduler(options);
  const auto running = Submit(Plan(2, 50));
  const auto waiting = Submit(Plan(2, 2));
  scheduler_->RunOnce();
  now_ += absl::Seconds(10);
  scheduler_->RunOnce();
  EXPECT_EQ(EndOf(*waiting), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(scheduler_->num_running(), 1) << "what runs has no queue timeout";
}

TEST_F(SchedulerTest, CancelledRequestIsReleasedBeforeTheNextStep) {
  MakeScheduler();
  const auto cancelled = Submit(Plan(2, 50));
  const auto other = Submit(Plan(2, 3));
  scheduler_->RunOnce();
  cancelled->Cancel(absl::CancelledError("gone"));
  scheduler_->RunOnce();
  EXPECT_EQ(attention_->num_sequences(), 1u);
  EXPECT_THAT(StepRows().back(), ElementsAre(1)) << "only the other one";
  RunAll();
  EXPECT_EQ(EndOf(*other), absl::StatusCode::kOk);
  EXPECT_THAT(observer_.ended, ElementsAre(absl::StatusCode::kCancelled, absl::StatusCode::kOk));
}

TEST_F(SchedulerTest, CancelledWaitingRequestNeverRuns) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  MakeScheduler(options);
  const auto first = Submit(Plan(2, 3));
  const auto second = Submit(Plan(2, 3));
  second->Cancel(absl::CancelledError("gone"));
  RunAll();
  for (const StepRequest& step : attention_->steps()) {
    EXPECT_EQ(step.chunks.front().id, SequenceId{1});
  }
}

TEST_F(SchedulerTest, PassedDeadlineFreesARunningAndAWaitingRequest) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  MakeScheduler(options);
  const auto running = Submit(Plan(2, 50), now_ + absl::Seconds(5));
  const auto waiting = Submit(Plan(2, 50), now_ + absl::Seconds(5));
  scheduler_->RunOnce();
  now_ += absl::Seconds(5);
  scheduler_->RunOnce();
  EXPECT_EQ(EndOf(*running), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(EndOf(*waiting), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(attention_->num_sequences(), 0u);
}

TEST_F(SchedulerTest, RequestPastItsDeadlineIsRefused) {
  MakeScheduler();
  EXPECT_EQ(scheduler_->Submit(Plan(2, 2), now_).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SchedulerTest, StepCarriesTheLastDeadlineOfItsRequests) {
  MakeScheduler();
  Submit(Plan(2, 2), now_ + absl::Seconds(5));
  Submit(Plan(2, 2), now_ + absl::Seconds(9));
  scheduler_->RunOnce();
  EXPECT_EQ(attention_->steps().back().deadline, now_ + absl::Seconds(9));
}

TEST_F(SchedulerTest, FailedStepFailsItsRequestsAndNoOthers) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  MakeScheduler(options);
  const auto failed = Submit(Plan(2, 4));
  const auto later = Submit(Plan(2, 4));
  attention_->FailNextStep(absl::UnavailableError("layer 1: experts 4-7 have no worker"));
  RunAll();
  const StreamContents contents = Read(*failed);
  EXPECT_EQ(contents.end->code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(contents.end->message()), HasSubstr("layer 1: experts 4-7"));
  EXPECT_EQ(EndOf(*later), absl::StatusCode::kOk);
  EXPECT_EQ(attention_->num_sequences(), 0u);
}

TEST_F(SchedulerTest, LateExpertIsNotTheClientsDeadline) {
  MakeScheduler();
  const auto stream = Submit(Plan(2, 4));
  attention_->FailNextStep(absl::DeadlineExceededError("127.0.0.1:8481 said nothing for 30 s"));
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_EQ(contents.end->code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(contents.end->message()), HasSubstr("127.0.0.1:8481"));
}

TEST_F(SchedulerTest, SlowReaderPausesItsOwnSequenceOnly) {
  SchedulerOptions options;
  options.stream_capacity_tokens = 3;
  MakeScheduler(options);
  const auto slow = Submit(Plan(2, 8));
  const auto quick = Submit(Plan(2, 8));
  size_t quick_tokens = 0;
  for (int step = 0; step < 8; ++step) {
    scheduler_->RunOnce();
    quick_tokens += Read(*quick).output.token_ids.size();
  }
  EXPECT_EQ(quick_tokens, 8u);
  EXPECT_FALSE(scheduler_->RunOnce()) << "the slow one is paused";
  size_t slow_tokens = 0;
  do {
    slow_tokens += Read(*slow).output.token_ids.size();
  } while (scheduler_->RunOnce());
  EXPECT_EQ(slow_tokens + Read(*slow).output.token_ids.size(), 8u);
}

TEST_F(SchedulerTest, ReaderThatStaysSlowLosesItsPlace) {
  SchedulerOptions options;
  options.stream_capacity_tokens = 3;
  options.slow_client_timeout = absl::Seconds(20);
  MakeScheduler(options);
  const auto slow = Submit(Plan(2, 8));
  RunAll();
  now_ += absl::Seconds(20);
  RunAll();
  EXPECT_EQ(attention_->num_sequences(), 0u);
  EXPECT_EQ(EndOf(*slow), absl::StatusCode::kResourceExhausted);
}

TEST_F(SchedulerTest, TimesAreMeasuredFromArrival) {
  SchedulerOptions options;
  options.max_step_tokens = 4;
  MakeScheduler(options);
  const auto stream = Submit(Plan(8, 3));
  now_ += absl::Seconds(1);
  attention_->set_on_step([this](const StepRequest&) { now_ += absl::Seconds(10); });
  RunAll();
  const GenerationSummary summary = *Read(*stream).output.summary;
  EXPECT_EQ(summary.queue, absl::Seconds(1));
  EXPECT_EQ(summary.time_to_first_token, absl::Seconds(21));
  EXPECT_EQ(summary.total, absl::Seconds(41));
  EXPECT_THAT(observer_.queue, ElementsAre(absl::Seconds(1)));
  EXPECT_THAT(observer_.first, ElementsAre(absl::Seconds(21)));
  EXPECT_THAT(observer_.next, ElementsAre(absl::Seconds(10), absl::Seconds(10)));
}

}  // namespace
}  // namespace tramontane
