#include "attention_worker/answer_box.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

using ::testing::SizeIs;

TEST(AnswerBoxTest, TakesAllOnceEnoughAreThere) {
  AnswerBox box;
  std::thread worker([&box] {
    box.Put(0, ExpertBatchResult());
    box.Put(1, ExpertBatchResult());
  });
  EXPECT_THAT(box.TakeUntil(2, absl::InfiniteFuture()), SizeIs(2));
  worker.join();
}

TEST(AnswerBoxTest, AFailureIsTakenAtOnce) {
  AnswerBox box;
  std::thread worker([&box] { box.Put(1, absl::UnavailableError("gone")); });
  const std::vector<ArrivedAnswer> arrived = box.TakeUntil(2, absl::InfiniteFuture());
  worker.join();
  ASSERT_THAT(arrived, SizeIs(1));
  EXPECT_EQ(arrived[0].batch, 1u);
}

TEST(AnswerBoxTest, WhatIsThereIsTakenAtTheTime) {
  AnswerBox box;
  box.Put(0, ExpertBatchResult());
  EXPECT_THAT(box.TakeUntil(2, absl::Now() + absl::Milliseconds(1)), SizeIs(1));
  EXPECT_THAT(box.TakeUntil(1, absl::InfinitePast()), SizeIs(0));
}

TEST(AnswerBoxTest, OneThatWaitsAwakeTakesTheSame) {
  AnswerBox box(absl::Minutes(10));
  std::thread worker([&box] {
    box.Put(0, ExpertBatchResult());
    box.Put(1, ExpertBatchResult());
  });
  EXPECT_THAT(box.TakeUntil(2, absl::InfiniteFuture()), SizeIs(2));
  worker.join();
  EXPECT_THAT(box.TakeUntil(1, absl::Now() + absl::Milliseconds(1)), SizeIs(0));
  box.Put(0, ExpertBatchResult());
  EXPECT_THAT(box.TakeUntil(2, absl::Now() + absl::Milliseconds(1)), SizeIs(1));
}

TEST(AnswerBoxTest, OneThatFellAsleepIsWoken) {
  AnswerBox box(absl::Microseconds(1));
  std::thread worker([&box] { box.Put(0, ExpertBatchResult()); });
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
  worker.join();
}

TEST(AnswerBoxTest, AClosedBoxTakesNothing) {
  AnswerBox box;
  EXPECT_TRUE(box.Put(0, ExpertBatchResult()));
  EXPECT_THAT(box.Close(), SizeIs(1));
  EXPECT_FALSE(box.Put(1, ExpertBatchResult()));
}

}  // namespace
}  // namespace tramontane
