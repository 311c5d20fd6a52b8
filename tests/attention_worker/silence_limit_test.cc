#include "attention_worker/silence_limit.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

ReplicaLoad::Reading Measured(double seconds_per_unit, double deviation = 0) {
  ReplicaLoad::Reading reading;
  reading.seconds_per_unit = seconds_per_unit;
  reading.deviation = deviation;
  return reading;
}

TEST(SilenceLimitTest, FollowsTheWorkAheadAndTheSpeed) {
  const SilenceLimit limit;
  const absl::Duration small = limit.Of(Measured(0.01), 100);
  EXPECT_GT(small, absl::Seconds(1));  // what is expected
  EXPECT_GT(limit.Of(Measured(0.01), 1000), small + absl::Seconds(9));
  EXPECT_GT(limit.Of(Measured(0.1), 100), small + absl::Seconds(9));
  EXPECT_GT(limit.Of(Measured(0.01, 0.01), 100), small);
}

TEST(SilenceLimitTest, FastWorkIsStillGivenWhatABusyMachineTakes) {
  const absl::Duration limit = SilenceLimit().Of(Measured(1e-6), 20);
  EXPECT_GE(limit, absl::Milliseconds(100));
  EXPECT_LT(limit, absl::Seconds(1));
}

TEST(SilenceLimitTest, IsGenerousBeforeAnythingIsMeasured) {
  EXPECT_GE(SilenceLimit().Of({}, 20), absl::Seconds(1));
}

TEST(SilenceLimitTest, AlarmsMakeItPatientUpToALimitAndAnswersTakeThatBack) {
  SilenceLimit limit;
  const ReplicaLoad::Reading worker = Measured(0.001);
  const absl::Duration before = limit.Of(worker, 100);
  limit.OnSilence();
  EXPECT_EQ(limit.Of(worker, 100), 2 * before);
  for (int i = 0; i < 100; ++i) limit.OnSilence();
  EXPECT_EQ(limit.Of(worker, 100), 8 * before);
  for (int i = 0; i < 1000; ++i) limit.OnAnswer();
  EXPECT_EQ(limit.Of(worker, 100), before);
}

}  // namespace
}  // namespace tramontane
