#include "coordinator/drain_rate.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

class DrainRateTest : public ::testing::Test {
 protected:
  // One departure after each `interval`.
  void Depart(int count, absl::Duration interval) {
    for (int i = 0; i < count; ++i) {
      now_ += interval;
      rate_.OnDeparture(now_);
    }
  }
  double PerSecond() const { return rate_.PerSecond(now_).value_or(-1); }

  absl::Time now_ = absl::UnixEpoch();
  DrainRate rate_;
};

TEST_F(DrainRateTest, SaysNothingBeforeThereIsEnough) {
  rate_.SetSaturated(true, now_);
  EXPECT_FALSE(rate_.PerSecond(now_).has_value());
  Depart(3, absl::Seconds(1));
  EXPECT_FALSE(rate_.PerSecond(now_).has_value());
}

// The tolerances are for the few percent by which the first departure's interval is cut off.
TEST_F(DrainRateTest, IsDeparturesPerSecond) {
  rate_.SetSaturated(true, now_);
  Depart(200, absl::Milliseconds(500));
  EXPECT_NEAR(PerSecond(), 2, 0.05);
}

TEST_F(DrainRateTest, DoesNotCountTimesInWhichNobodyWaits) {
  rate_.SetSaturated(true, now_);
  Depart(200, absl::Milliseconds(500));
  rate_.SetSaturated(false, now_);
  Depart(100, absl::Seconds(20));
  rate_.SetSaturated(true, now_);
  EXPECT_NEAR(PerSecond(), 2, 0.05);
}

TEST_F(DrainRateTest, FollowsAChangeWithinItsWindow) {
  rate_.SetSaturated(true, now_);
  Depart(400, absl::Milliseconds(500));
  Depart(1500, absl::Milliseconds(100));  // five windows later e^-5 of the old rate is left
  EXPECT_NEAR(PerSecond(), 10, 0.2);
}

TEST_F(DrainRateTest, ForgetsWhereNothingLeavesAnyMore) {
  rate_.SetSaturated(true, now_);
  Depart(20, absl::Seconds(1));
  now_ += absl::Minutes(5);
  EXPECT_FALSE(rate_.PerSecond(now_).has_value());
}

}  // namespace
}  // namespace tramontane
