// Steps that end with ABORTED because an expert has no worker yet: they run again, without those
// who do not want them any more.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

class SchedulerInterruptionTest : public SchedulerFixture {
 protected:
  void InterruptNextStep() { attention_->FailNextStep(absl::AbortedError("no worker yet")); }
};

TEST_F(SchedulerInterruptionTest, AnInterruptedStepRunsAgain) {
  MakeScheduler();
  const auto stream = Submit(Plan(4, 3));
  InterruptNextStep();
  InterruptNextStep();
  RunAll();
  const StreamContents contents = Read(*stream);
  EXPECT_TRUE(contents.end.has_value() && contents.end->ok());
  EXPECT_EQ(contents.output.token_ids.size(), 3u);
}

TEST_F(SchedulerInterruptionTest, ARequestThatFillsTheCacheGoesOnAfterAnInterruptedStep) {
  MakeScheduler({}, {.num_blocks = 4, .block_size = 4});
  const auto stream = Submit(Plan(13, 3));
  InterruptNextStep();
  RunAll();
  EXPECT_EQ(EndOf(*stream), absl::StatusCode::kOk);
}

TEST_F(SchedulerInterruptionTest, NobodyIsPreemptedForAStepThatRunsAgain) {
  MakeScheduler({}, {.num_blocks = 4, .block_size = 4});
  const auto first = Submit(Plan(4, 4));
  const auto second = Submit(Plan(4, 4, 100));
  ASSERT_TRUE(scheduler_->RunOnce());
  InterruptNextStep();
  RunAll();
  EXPECT_EQ(EndOf(*first), absl::StatusCode::kOk);
  EXPECT_EQ(EndOf(*second), absl::StatusCode::kOk);
  EXPECT_EQ(observer_.preemptions, 0);
}

TEST_F(SchedulerInterruptionTest, WhoIsCancelledOrLateLeavesAndItsPlaceIsTaken) {
  MakeScheduler({.max_running_requests = 2});
  const auto cancelled = Submit(Plan(4, 3));
  const auto late = Submit(Plan(4, 3), now_ + absl::Seconds(5));
  const auto next = Submit(Plan(4, 3));
  const auto last = Submit(Plan(4, 3));
  InterruptNextStep();
  attention_->set_on_step([&](const StepRequest&) {
    attention_->set_on_step(nullptr);
    cancelled->Cancel(absl::CancelledError("gone"));
    now_ += absl::Seconds(6);
  });
  ASSERT_TRUE(scheduler_->RunOnce());
  ASSERT_TRUE(scheduler_->RunOnce());
  EXPECT_EQ(EndOf(*late), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(scheduler_->num_waiting(), 0);
  RunAll();
  EXPECT_EQ(EndOf(*next), absl::StatusCode::kOk);
  EXPECT_EQ(EndOf(*last), absl::StatusCode::kOk);
}

TEST_F(SchedulerInterruptionTest, WhoWaitsTooLongMeanwhileIsToldAtOnce) {
  MakeScheduler({.max_running_requests = 1, .queue_timeout = absl::Seconds(2)});
  const auto running = Submit(Plan(4, 3));
  const auto waiting = Submit(Plan(4, 3));
  InterruptNextStep();
  attention_->set_on_step([&](const StepRequest&) {
    attention_->set_on_step(nullptr);
    now_ += absl::Seconds(3);
  });
  ASSERT_TRUE(scheduler_->RunOnce());
  ASSERT_TRUE(scheduler_->RunOnce());
  EXPECT_EQ(EndOf(*waiting), absl::StatusCode::kResourceExhausted);
  RunAll();
  EXPECT_EQ(EndOf(*running), absl::StatusCode::kOk);
}

TEST_F(SchedulerInterruptionTest, TheDrainsDeadlineEndsWhatWaitsOn) {
  MakeScheduler();
  const auto stream = Submit(Plan(4, 3));
  attention_->set_on_step([&](const StepRequest&) { InterruptNextStep(); });
  ASSERT_TRUE(scheduler_->RunOnce());
  // Already passed: the next round ends it.
  std::thread drain([&] { scheduler_->Drain(now_); });
  while (scheduler_->RunOnce()) {
  }
  drain.join();
  EXPECT_EQ(EndOf(*stream), absl::StatusCode::kUnavailable);
}

TEST_F(SchedulerInterruptionTest, AStepKnowsTheDrainsDeadline) {
  MakeScheduler();
  const auto stream = Submit(Plan(4, 200));
  const absl::Time limit = now_ + absl::Seconds(7);
  absl::Time deadline = absl::InfiniteFuture();
  attention_->set_on_step([&](const StepRequest& request) { deadline = request.deadline; });
  std::thread drain([&] { scheduler_->Drain(limit); });
  while (deadline != limit && scheduler_->RunOnce()) {
    InterruptNextStep();  // goes on until the drain has begun
  }
  stream->Cancel(absl::CancelledError("seen"));
  RunAll();
  drain.join();
  EXPECT_EQ(deadline, limit);
}

}  // namespace
}  // namespace tramontane
