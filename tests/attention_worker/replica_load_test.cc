#include "attention_worker/replica_load.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

// Answers a batch of 100 units at so many seconds each.
void Answer(ReplicaLoad& load, double seconds_per_unit, absl::Time now = kNow) {
  const double ahead = load.Begin(100);
  load.Answered(100, ahead, absl::Seconds(seconds_per_unit * ahead), absl::ZeroDuration(), now);
}

TEST(ReplicaLoadTest, CountsWhatIsOutstanding) {
  ReplicaLoad load;
  EXPECT_EQ(load.Begin(10), 10);
  EXPECT_EQ(load.Begin(20), 30);
  load.Failed(10);
  EXPECT_EQ(load.Read().outstanding_units, 20);
  load.Answered(20, 30, absl::Seconds(3), absl::ZeroDuration(), kNow);
  EXPECT_EQ(load.Read().outstanding_units, 0);
  EXPECT_DOUBLE_EQ(*load.Read().seconds_per_unit, 0.1);  // queueing behind the first included
}

TEST(ReplicaLoadTest, FailuresSayNothingOfTheSpeed) {
  ReplicaLoad load;
  load.Begin(10);
  load.Failed(10);
  EXPECT_FALSE(load.Read().seconds_per_unit.has_value());
}

TEST(ReplicaLoadTest, FollowsAChangeOfSpeed) {
  ReplicaLoad load;
  for (int i = 0; i < 10; ++i) Answer(load, 1);
  for (int i = 0; i < 40; ++i) Answer(load, 10);
  EXPECT_NEAR(*load.Read().seconds_per_unit, 10, 0.5);
}

TEST(ReplicaLoadTest, OneAnswerAfterAStandstillDoesNotMarkAWorkerAsSlow) {
  ReplicaLoad load;
  for (int i = 0; i < 10; ++i) Answer(load, 1);
  Answer(load, 10'000);
  EXPECT_LT(*load.Read().seconds_per_unit, 1.5);
}

TEST(ReplicaLoadTest, AWorkerThatWasNotMeasuredCountsAsTheFastest) {
  ReplicaLoad a, b, unknown;
  Answer(a, 1);
  Answer(b, 3);
  const auto speeds = EstimateSpeeds(std::vector{a.Read(), b.Read(), unknown.Read()}, kNow);
  EXPECT_DOUBLE_EQ(speeds[2].seconds_per_unit, 1);
}

// A batch of so many units, which takes 1 ms on its way and 0.1 ms a unit.
void AnswerOverTheNetwork(ReplicaLoad& load, double units) {
  const double ahead = load.Begin(units);
  const absl::Duration service = absl::Milliseconds(0.1) * ahead;
  load.Answered(units, ahead, absl::Milliseconds(1) + service, absl::Milliseconds(1), kNow);
}

TEST(ReplicaLoadTest, SmallBatchesDoNotMakeAWorkerLookSlow) {
  ReplicaLoad small, large;
  for (int i = 0; i < 20; ++i) {
    AnswerOverTheNetwork(small, 2);
    AnswerOverTheNetwork(large, 500);
  }
  const auto speeds = EstimateSpeeds(std::vector{small.Read(), large.Read()}, kNow);
  EXPECT_NEAR(speeds[0].seconds_per_unit, 1e-4, 1e-6);
  EXPECT_NEAR(speeds[1].seconds_per_unit, 1e-4, 1e-6);
  EXPECT_NEAR(speeds[0].ready_seconds, 1e-3, 1e-5);
}

TEST(ReplicaLoadTest, TheWayToAWorkerCountsOnceABatch) {
  ReplicaLoad near, far;
  for (int i = 0; i < 20; ++i) {
    Answer(near, 1);
    const double ahead = far.Begin(100);
    far.Answered(100, ahead, absl::Seconds(ahead + 50), absl::Seconds(50), kNow);
  }
  const auto speeds = EstimateSpeeds(std::vector{near.Read(), far.Read()}, kNow);
  EXPECT_NEAR(speeds[1].seconds_per_unit, speeds[0].seconds_per_unit, 0.01);
  EXPECT_NEAR(speeds[1].ready_seconds - speeds[0].ready_seconds, 50, 0.5);
}

TEST(ReplicaLoadTest, AWorkerThatSaysItWorkedForNoTimeAtAllIsNotBelieved) {
  ReplicaLoad load;
  const double ahead = load.Begin(100);
  load.Answered(100, ahead, absl::Seconds(80), absl::Seconds(80), kNow);
  EXPECT_DOUBLE_EQ(load.Read().service_seconds_per_unit, 0.1);
}

TEST(ReplicaLoadTest, NobodyMeasuredIsAllEqual) {
  ReplicaLoad a, b;
  const auto speeds = EstimateSpeeds(std::vector{a.Read(), b.Read()}, kNow);
  EXPECT_EQ(speeds[0].seconds_per_unit, speeds[1].seconds_per_unit);
}

TEST(ReplicaLoadTest, SlownessIsForgottenWhileNothingIsSent) {
  ReplicaLoad fast, slow;
  Answer(fast, 1);
  Answer(slow, 100);
  const std::vector readings = {fast.Read(), slow.Read()};
  EXPECT_NEAR(EstimateSpeeds(readings, kNow)[1].seconds_per_unit, 100, 1e-9);
  EXPECT_NEAR(EstimateSpeeds(readings, kNow + absl::Minutes(3))[1].seconds_per_unit, 1, 0.01);
  EXPECT_EQ(EstimateSpeeds(readings, kNow + absl::Minutes(3))[0].seconds_per_unit, 1);
}

TEST(ReplicaLoadTest, WhatWasForgottenDoesNotComeBackWithTheNextAnswer) {
  ReplicaLoad fast, cold;
  Answer(fast, 1);
  Answer(cold, 10);  // its first batch, for which weights were read from disk
  const absl::Time later = kNow + absl::Seconds(30);
  Answer(cold, 1, later);
  const auto speeds = EstimateSpeeds(std::vector{fast.Read(), cold.Read()}, later);
  EXPECT_LT(speeds[1].seconds_per_unit, 2.2);
}

}  // namespace
}  // namespace tramontane
