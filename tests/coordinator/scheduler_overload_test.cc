// More requests than the scheduler can serve: who is refused, with which hint, and that those who
// are accepted have its full speed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/retry_hint.h"
#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kPlaces = 4;
constexpr int kTokens = 10;  // of each request: so many steps, as its prompt runs in the first

class SchedulerOverloadTest : public SchedulerFixture {
 protected:
  void Load(SchedulerOptions options = {}) {
    options.max_running_requests = kPlaces;
    MakeScheduler(options, {.num_blocks = 1024});
  }

  absl::StatusOr<std::shared_ptr<TokenStream>> Try(int priority = 0,
                                                   absl::Time deadline = absl::InfiniteFuture()) {
    GenerationPlan plan = Plan(4, kTokens);
    plan.priority = priority;
    return scheduler_->Submit(std::move(plan), deadline);
  }

  // A step of 100 ms: with all places taken, 4 requests leave each second.
  void Step() {
    scheduler_->RunOnce();
    now_ += absl::Milliseconds(100);
    Reap();
  }

  // As clients that read at once: streams that have ended are let go.
  void Reap() {
    std::erase_if(kept_, [this](const auto& stream) {
      StreamContents contents = Read(*stream);
      if (contents.end.has_value()) ends_.push_back(*std::move(contents.end));
      return contents.end.has_value();
    });
  }

  // Makes the scheduler know its rate, and leaves it idle.
  void Measure() {
    for (int step = 0; step < 400; ++step) {
      while (step < 300 && scheduler_->num_waiting() < kPlaces) {
        kept_.push_back(Submit(Plan(4, kTokens)));
      }
      Step();
    }
    EXPECT_EQ(scheduler_->num_running(), 0);
  }

  // Takes all places, and lets `count` wait.
  void Fill(int count) {
    for (int i = 0; i < kPlaces; ++i) kept_.push_back(Submit(Plan(4, kTokens)));
    Step();
    for (int i = 0; i < count; ++i) kept_.push_back(Submit(Plan(4, kTokens)));
  }

  std::vector<std::shared_ptr<TokenStream>> kept_;
  std::vector<absl::Status> ends_;
};

TEST_F(SchedulerOverloadTest, AtThreeTimesTheCapacityThoseAcceptedHaveAllPlaces) {
  Load({.max_waiting_requests = 8, .queue_timeout = absl::Seconds(60)});
  int accepted = 0;
  int refused = 0;
  size_t largest_step = 0, smallest_step = 100;
  attention_->set_on_step([&](const StepRequest& request) {
    if (now_ < absl::UnixEpoch() + absl::Seconds(5)) return;
    largest_step = std::max(largest_step, request.chunks.size());
    smallest_step = std::min(smallest_step, request.chunks.size());
  });
  int due = 0;  // tenths of a request
  for (int step = 0; step < 600; ++step) {
    for (due += 12; due >= 10; due -= 10) {  // 12 requests in a second
      auto stream = Try();
      if (stream.ok()) {
        kept_.push_back(*stream);
        ++accepted;
        continue;
      }
      ++refused;
      EXPECT_EQ(stream.status().code(), absl::StatusCode::kResourceExhausted);
      EXPECT_TRUE(RetryAfterOf(stream.status()).has_value());
    }
    Step();
  }
  EXPECT_EQ(smallest_step, kPlaces);
  EXPECT_EQ(largest_step, kPlaces);
  while (!kept_.empty()) Step();
  EXPECT_EQ(std::count(ends_.begin(), ends_.end(), absl::OkStatus()), accepted);
  EXPECT_EQ(accepted + refused, 720);
  // In 60 s 240 are served, and 8 wait at the end.
  EXPECT_GE(accepted, 240);
  EXPECT_LE(accepted, 252);
  EXPECT_EQ(observer_.refusals[Refusal::kQueueFull], refused);
}

TEST_F(SchedulerOverloadTest, ThoseAcceptedStartInTheirOrder) {
  Load({.max_waiting_requests = 8});
  std::vector<SequenceId> order;
  attention_->set_on_step([&](const StepRequest& request) {
    for (const SequenceChunk& chunk : request.chunks) {
      if (chunk.first_position == 0) order.push_back(chunk.id);
    }
  });
  for (int i = 0; i < 300; ++i) {
    if (auto stream = Try(); stream.ok()) kept_.push_back(*stream);
    Step();
  }
  while (!kept_.empty()) Step();
  EXPECT_EQ(order.size(), ends_.size());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(SchedulerOverloadTest, NothingIsEstimatedBeforeItIsMeasured) {
  Load();
  Fill(20);
  EXPECT_TRUE(Try(0, now_ + absl::Milliseconds(1)).ok());
  EXPECT_EQ(observer_.estimated_wait, absl::ZeroDuration());
}

TEST_F(SchedulerOverloadTest, ADeadlineThatCannotBeMetIsRefusedAtOnceWithTheEstimate) {
  Load();
  Measure();
  Fill(19);
  Step();
  // 20 places, at 4 in a second: 5 s. The estimate is within a quarter of it.
  EXPECT_NEAR(absl::ToDoubleSeconds(observer_.estimated_wait), 5, 1.25);
  const auto refused = Try(0, now_ + absl::Seconds(2));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("would wait for about"), HasSubstr("its deadline is in 2s")));
  // When the queue will have become short enough.
  const absl::Duration hint = RetryAfterOf(refused.status()).value_or(absl::ZeroDuration());
  EXPECT_NEAR(absl::ToDoubleSeconds(hint), 3, 1.25);
  EXPECT_TRUE(Try(0, now_ + absl::Seconds(8)).ok());
  EXPECT_EQ(observer_.refusals[Refusal::kWaitTooLong], 1);
}

TEST_F(SchedulerOverloadTest, ADeadlineThatPassesMeanwhileIsNoLackOfRoom) {
  Load();
  look_takes_ = absl::Milliseconds(2);
  const auto late = Try(0, now_ + absl::Milliseconds(1));
  ASSERT_TRUE(late.ok()) << late.status();
  scheduler_->RunOnce();
  const StreamContents contents = Read(**late);
  ASSERT_TRUE(contents.end.has_value());
  EXPECT_EQ(contents.end->code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SchedulerOverloadTest, OnlyThoseBeforeItCount) {
  Load();
  Measure();
  Fill(40);
  EXPECT_FALSE(Try(-1, now_ + absl::Seconds(5)).ok());
  EXPECT_TRUE(Try(1, now_ + absl::Seconds(5)).ok());
}

TEST_F(SchedulerOverloadTest, NobodyWaitsWhoWouldRunIntoTheQueuesLimit) {
  Load({.queue_timeout = absl::Seconds(5)});
  Measure();
  int accepted = 0;
  Fill(0);
  for (int i = 0; i < 100; ++i) {
    auto stream = Try();
    if (!stream.ok()) {
      EXPECT_THAT(std::string(stream.status().message()), HasSubstr("none may wait for longer"));
      continue;
    }
    kept_.push_back(*stream);
    ++accepted;
  }
  // About 20 can start in 5 s.
  EXPECT_GE(accepted, 14);
  EXPECT_LE(accepted, 26);
}

TEST_F(SchedulerOverloadTest, HintsAreSpacedByTheRateAtWhichTheQueueDrains) {
  Load({.max_waiting_requests = 8});
  Fill(8);
  const auto unmeasured = Try();
  EXPECT_EQ(RetryAfterOf(unmeasured.status()), absl::Seconds(1));
  for (int i = 0; i < 200; ++i) Step();
  Measure();
  Fill(8);
  std::vector<double> hints;
  for (int i = 0; i < 5; ++i) {
    hints.push_back(
        absl::ToDoubleSeconds(RetryAfterOf(Try().status()).value_or(absl::ZeroDuration())));
  }
  // At 4 in a second, each a quarter of a second after the one before.
  for (size_t i = 0; i < hints.size(); ++i) {
    EXPECT_NEAR(hints[i], 0.25 * static_cast<double>(i + 1), 0.08 * static_cast<double>(i + 1));
  }
}

TEST_F(SchedulerOverloadTest, WhoWaitsTooLongGetsAHintToo) {
  Load({.queue_timeout = absl::Seconds(2)});
  Fill(1);
  now_ += absl::Seconds(3);
  Step();
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_.front().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfterOf(ends_.front()).has_value());
  EXPECT_EQ(observer_.refusals[Refusal::kQueueTimeout], 1);
}

TEST_F(SchedulerOverloadTest, AHigherPriorityTakesTheLastPlaceOfTheLowestInAFullQueue) {
  Load({.max_waiting_requests = 3});
  Fill(0);
  const auto lowest = Try(-2), last_of_lowest = Try(-2), low = Try(-1);
  ASSERT_TRUE(lowest.ok() && last_of_lowest.ok() && low.ok());
  EXPECT_FALSE(Try(-2).ok()) << "nobody is lower";
  const auto higher = Try(0);
  ASSERT_TRUE(higher.ok()) << higher.status();
  Step();
  const StreamContents displaced = Read(**last_of_lowest);
  ASSERT_TRUE(displaced.end.has_value());
  EXPECT_EQ(displaced.end->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(displaced.end->message()),
              AllOf(HasSubstr("priority 0 came"), HasSubstr("this one of priority -2")));
  EXPECT_TRUE(RetryAfterOf(*displaced.end).has_value());
  EXPECT_EQ(observer_.refusals[Refusal::kDisplaced], 1);
  EXPECT_EQ(scheduler_->num_waiting(), 3);
  for (const auto* stream : {&lowest, &low, &higher}) kept_.push_back(**stream);
  while (!kept_.empty()) Step();
  EXPECT_EQ(std::count(ends_.begin(), ends_.end(), absl::OkStatus()), kPlaces + 3);
}

TEST_F(SchedulerOverloadTest, CompletionsAreDisplacedTogetherAndTakePlacesTogether) {
  Load({.max_waiting_requests = 4});
  Fill(0);
  GenerationPlan plan = Plan(4, kTokens);
  plan.priority = -1;
  plan.num_completions = 2;
  const auto first = scheduler_->Submit(plan, absl::InfiniteFuture());
  const auto second = scheduler_->Submit(plan, absl::InfiniteFuture());
  plan.priority = 0;
  plan.num_completions = 3;
  ASSERT_TRUE(scheduler_->Submit(plan, absl::InfiniteFuture()).ok()) << "3 of 4 places";
  EXPECT_EQ(scheduler_->num_waiting(), 3);
  Step();
  EXPECT_EQ(EndOf(**first), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(EndOf(**second), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(observer_.refusals[Refusal::kDisplaced], 2) << "requests, not completions";
}

TEST_F(SchedulerOverloadTest, WhereTooFewAreLowerNobodyIsDisplaced) {
  Load({.max_waiting_requests = 2});
  Fill(0);
  const auto low = Try(-1), equal = Try(0);
  GenerationPlan plan = Plan(4, kTokens);
  plan.num_completions = 2;
  EXPECT_EQ(scheduler_->Submit(plan, absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kResourceExhausted);
  Step();
  EXPECT_FALSE(Read(**low).end.has_value());
  EXPECT_EQ(observer_.refusals[Refusal::kDisplaced], 0);
  EXPECT_EQ(observer_.refusals[Refusal::kQueueFull], 1);
}

TEST_F(SchedulerOverloadTest, WhatHasBegunIsNotDisplaced) {
  SchedulerOptions options;
  options.max_waiting_requests = 0;
  options.max_running_requests = kPlaces;
  // Room for two of them to their ends: others are preempted, and wait again.
  MakeScheduler(options, {.num_blocks = 8});
  for (int i = 0; i < kPlaces; ++i) kept_.push_back(Submit(Plan(4, 40, 10 + 20 * i)));
  for (int i = 0; i < 32; ++i) Step();
  ASSERT_GT(observer_.preemptions, 0);
  ASSERT_GT(scheduler_->num_waiting(), 0);
  while (Try(100).ok()) {
  }
  while (!kept_.empty()) Step();
  EXPECT_EQ(std::count(ends_.begin(), ends_.end(), absl::OkStatus()), kPlaces);
  EXPECT_EQ(observer_.refusals[Refusal::kDisplaced], 0);
}

}  // namespace
}  // namespace tramontane
