#include "attention_worker/grpc/stream_pump.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "tests/expert_worker/fixtures.h"

namespace tramontane {
namespace {

// An event that comes when it is told to, and knows who handled it.
class TestEvent final : public StreamPump::Event {
 public:
  explicit TestEvent(StreamPump* pump) : pump_(pump) { pump_->BeginStream(); }
  void Come() { alarm_.Set(pump_->queue(), gpr_inf_past(GPR_CLOCK_MONOTONIC), pump_->Tag(this)); }
  void ComeSoon() {
    alarm_.Set(pump_->queue(), std::chrono::system_clock::now() + std::chrono::milliseconds(2),
               pump_->Tag(this));
  }
  void OnEvent(bool /*ok*/) override {
    if (on_event) on_event();
    StreamPump* const pump = pump_;
    handler.Set(std::this_thread::get_id());  // whoever awaits that may end this
    pump->EndStream();
  }

  std::function<void()> on_event;
  Awaited<std::thread::id> handler;

 private:
  StreamPump* const pump_;
  grpc::Alarm alarm_;
};

class StreamPumpTest : public ::testing::TestWithParam<absl::Duration> {
 protected:
  bool Turn(absl::Time until) { return pump_.Turn(until, ready_); }
  // Returns who has handled it.
  std::thread::id TurnUntilHandled(TestEvent& event) {
    while (!event.handler.has_value()) EXPECT_TRUE(Turn(absl::Now() + absl::Seconds(1)));
    return event.handler.Wait();
  }
  // Until this thread has just been there, so that the pump's own leaves it alone.
  void TakeOver() { EXPECT_TRUE(Turn(absl::Now())); }

  StreamPump pump_{GetParam()};
  std::atomic<bool> ready_{false};
};

INSTANTIATE_TEST_SUITE_P(Spins, StreamPumpTest,
                         ::testing::Values(absl::ZeroDuration(), absl::Microseconds(1),
                                           absl::Minutes(10)));

TEST_P(StreamPumpTest, ThePumpsThreadHandlesWhatComesWhileNobodyTurns) {
  TestEvent event(&pump_);
  event.Come();
  EXPECT_NE(event.handler.Wait(), std::this_thread::get_id());
}

// The pump's thread takes over from a thread that comes late, so not every try tells.
TEST_P(StreamPumpTest, WhoeverTurnsHandlesWhatComes) {
  int mine = 0;
  for (int i = 0; i < 100 && mine == 0; ++i) {
    TakeOver();
    TestEvent event(&pump_);
    event.Come();
    if (TurnUntilHandled(event) == std::this_thread::get_id()) ++mine;
  }
  EXPECT_EQ(mine, 1);
}

TEST_P(StreamPumpTest, ATurnSendsThePumpsThreadAway) {
  int mine = 0;
  for (int i = 0; i < 100 && mine == 0; ++i) {
    TestEvent before(&pump_);
    before.Come();
    ASSERT_NE(before.handler.Wait(), std::this_thread::get_id());
    TestEvent event(&pump_);
    event.ComeSoon();
    if (TurnUntilHandled(event) == std::this_thread::get_id()) ++mine;
  }
  EXPECT_EQ(mine, 1);
}

TEST_P(StreamPumpTest, AfterAWhileThePumpsThreadTakesOverAgain) {
  for (int i = 0; i < 3; ++i) {
    TakeOver();
    TestEvent event(&pump_);
    event.Come();
    EXPECT_NE(event.handler.Wait(), std::this_thread::get_id());
  }
}

TEST_P(StreamPumpTest, ATurnEndsAtItsTime) {
  TakeOver();
  const absl::Time end = absl::Now() + absl::Milliseconds(5);
  // A kick that the pump's thread has left behind ends one before.
  while (absl::Now() < end) EXPECT_TRUE(Turn(end));
  EXPECT_TRUE(Turn(absl::InfinitePast()));
}

TEST_P(StreamPumpTest, AWokenTurnEnds) {
  for (int i = 0; i < 100; ++i) {
    ready_ = false;
    std::thread other([this] {
      ready_ = true;
      pump_.Wake();
    });
    while (!ready_) EXPECT_TRUE(Turn(absl::InfiniteFuture()));
    other.join();
  }
}

TEST_P(StreamPumpTest, WithAWishThePumpsThreadPollsAsSoonAsItMay) {
  pump_.BeginWish();
  for (int i = 0; i < 10; ++i) {
    TakeOver();
    TestEvent event(&pump_);
    event.Come();
    EXPECT_NE(event.handler.Wait(), std::this_thread::get_id());
  }
  pump_.EndWish();
}

TEST_P(StreamPumpTest, ItsEndWaitsForStreams) {
  auto pump = std::make_unique<StreamPump>(GetParam());
  TestEvent event(pump.get());
  event.ComeSoon();
  pump.reset();
  EXPECT_TRUE(event.handler.has_value());
}

TEST_P(StreamPumpTest, WhatCanWaitIsHandledBeforeTheNextPoll) {
  class Later final : public StreamPump::Event {
   public:
    void OnEvent(bool ok) override { handled.Set(ok); }
    Awaited<bool> handled;
  };
  // Whoever handles an event finds that what can wait has not been handled yet.
  const auto come = [this](Later& later, TestEvent& event) {
    event.on_event = [this, &later] {
      pump_.BeforeNextPoll(&later);
      EXPECT_FALSE(later.handled.has_value());
    };
    event.Come();
  };
  Later of_turn, of_own;
  {
    TestEvent event(&pump_);
    TakeOver();
    come(of_turn, event);
    TurnUntilHandled(event);
    Turn(absl::Now());
    EXPECT_TRUE(of_turn.handled.has_value());
  }
  TestEvent event(&pump_);
  come(of_own, event);
  event.handler.Wait();
  EXPECT_TRUE(of_own.handled.Wait());  // nobody turns, so the pump's own thread does it
}

TEST_P(StreamPumpTest, OneThreadTurnsAtATime) {
  bool told = false;
  for (int i = 0; i < 100 && !told; ++i) {
    Awaited<bool> inside;
    Awaited<bool> leave;
    TestEvent event(&pump_);
    event.on_event = [&] {
      inside.Set(true);
      leave.Wait();
    };
    std::thread turner([&] {
      TakeOver();
      event.Come();
      while (!event.handler.has_value()) Turn(absl::Now() + absl::Seconds(1));
    });
    const std::thread::id turners = turner.get_id();
    inside.Wait();
    const bool turned = Turn(absl::Now());
    leave.Set(true);
    turner.join();
    if (event.handler.Wait() != turners) continue;
    EXPECT_FALSE(turned);
    told = true;
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace tramontane
