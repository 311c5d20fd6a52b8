#include "attention_worker/answer_box.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

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

// Brings in what it is told to, an answer each turn, and then waits to be woken.
class TestPump final : public ArrivalPump {
 public:
  bool Turn(absl::Time until, const std::atomic<bool>& ready) override {
    ++turns;
    if (busy) return false;
    if (!arrivals.empty()) {
      const std::function<void()> arrive = std::move(arrivals.front());
      arrivals.pop_front();
      arrive();
      return true;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    woken_.wait_for(lock, absl::ToChronoMicroseconds(until - absl::Now()),
                    [&ready] { return ready.load(); });
    return true;
  }
  void Wake() override {
    ++wakes;
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_.notify_one();
  }

  bool busy = false;
  std::deque<std::function<void()>> arrivals;
  std::atomic<int> turns{0};
  std::atomic<int> wakes{0};

 private:
  std::mutex mutex_;
  std::condition_variable woken_;
};

TEST(AnswerBoxTest, ThePumpBringsAnswersIn) {
  TestPump pump;
  AnswerBox box(&pump);
  for (const size_t batch : {0u, 1u, 2u}) {
    pump.arrivals.push_back([&box, batch] { box.Put(batch, ExpertBatchResult()); });
  }
  EXPECT_THAT(box.TakeUntil(2, absl::InfiniteFuture()), SizeIs(2));
  EXPECT_EQ(pump.turns, 2);
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
}

TEST(AnswerBoxTest, WhatOthersPutEndsATurn) {
  TestPump pump;
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
  TestPump pump;
  AnswerBox box(&pump);
  EXPECT_TRUE(box.Put(0, ExpertBatchResult()));
  EXPECT_THAT(box.TakeUntil(1, absl::InfiniteFuture()), SizeIs(1));
  EXPECT_EQ(pump.turns, 0);
  EXPECT_EQ(pump.wakes, 0);
}

TEST(AnswerBoxTest, APumpThatIsTakenKeepsNoAnswerBack) {
  TestPump pump;
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
  TestPump pump;
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
