#include "attention_worker/answer_box.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/fakes/fake_arrival_pump.h"

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

TEST(AnswerBoxTest, ThePumpBringsAnswersIn) {
  FakeArrivalPump pump;
  AnswerBox box(&pump);
  for (const size_t batch : {0u, 1u, 2u}) {
    pump.arrivals.push_back([&box, batch] { box.Put(batch, ExpertBatchResult()); });
  }
  EXPECT_THAT(box.TakeUntil(2, absl::InfiniteFuture()), SizeIs(2));
  EXPECT_EQ(pump.turns, 2);
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
}

TEST(AnswerBoxTest, WhatOthersPutEndsATurn) {
  FakeArrivalPump pump;
  AnswerBox box(&pump);
  std::thread worker([&] {
    while (pump.turns == 0) std::this_thread::yield();
    box.Put(0, ExpertBatchResult());
  });
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
  worker.join();
  EXPECT_EQ(pump.wakes, 1);
}

TEST(AnswerBoxTest, NobodyIsWokenOutsideOfAPump) {
  FakeArrivalPump pump;
  AnswerBox box(&pump);
  EXPECT_TRUE(box.Put(0, ExpertBatchResult()));
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
  EXPECT_EQ(pump.turns, 0);
  EXPECT_EQ(pump.wakes, 0);
}

TEST(AnswerBoxTest, APumpThatIsTakenKeepsNoAnswerBack) {
  FakeArrivalPump pump;
  pump.busy = true;
  AnswerBox box(&pump);
  std::thread worker([&] {
    while (pump.turns == 0) std::this_thread::yield();
    box.Put(0, ExpertBatchResult());
  });
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
  worker.join();
}

TEST(AnswerBoxTest, ATurnEndsAtTheTime) {
  FakeArrivalPump pump;
  AnswerBox box(&pump);
  EXPECT_THAT(box.TakeUntil(1, absl::Now() + absl::Milliseconds(1)), SizeIs(0));
  box.Put(0, ExpertBatchResult());
  EXPECT_THAT(box.TakeUntil(2, absl::Now() + absl::Milliseconds(1)), SizeIs(1));
}

TEST(AnswerBoxTest, AClosedBoxTakesNothing) {
  AnswerBox box;
  EXPECT_TRUE(box.Put(0, ExpertBatchResult()));
  EXPECT_THAT(box.Close(), SizeIs(1));
  EXPECT_FALSE(box.Put(1, ExpertBatchResult()));
}

}  // namespace
}  // namespace tramontane
