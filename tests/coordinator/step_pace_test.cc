#include "coordinator/step_pace.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

TEST(StepPaceTest, NothingIsLateBeforeAnythingIsKnown) {
  EXPECT_EQ(StepPace().Limit(512), absl::InfiniteDuration());
}

TEST(StepPaceTest, NoStepIsLateWithinASecond) {
  StepPace pace;
  pace.OnStep(1, absl::Milliseconds(2));
  EXPECT_EQ(pace.Limit(1), absl::Seconds(1));
}

TEST(StepPaceTest, AStepIsLateThatTakesManyTimesAsLongAsOthersOfItsSize) {
  StepPace pace;
  pace.OnStep(1, absl::Milliseconds(300));
  pace.OnStep(512, absl::Seconds(20));
  EXPECT_EQ(pace.Limit(1), absl::Milliseconds(1200));
  EXPECT_EQ(pace.Limit(512), absl::Seconds(80));
}

TEST(StepPaceTest, AChunkOfAPromptIsNotLateBecauseDecodeStepsAreShort) {
  StepPace pace;
  for (int i = 0; i < 1000; ++i) pace.OnStep(2, absl::Milliseconds(100));
  EXPECT_GE(pace.Limit(512), absl::Seconds(25)) << "no row may take longer than those did";
  EXPECT_EQ(pace.Limit(1), absl::Seconds(1)) << "nor does a smaller step";
}

TEST(StepPaceTest, OneStepThatHungDoesNotExcuseTheNext) {
  StepPace pace;
  pace.OnStep(1, absl::Milliseconds(10));
  pace.OnStep(1, absl::Minutes(5));
  EXPECT_EQ(pace.Limit(1), absl::Seconds(1));
}

TEST(StepPaceTest, AWorkerThatHasBecomeSlowIsNotLateForGood) {
  StepPace pace;
  pace.OnStep(1, absl::Milliseconds(10));
  for (int i = 0; i < 50; ++i) pace.OnStep(1, absl::Seconds(5));
  EXPECT_GT(pace.Limit(1), absl::Seconds(15));
}

}  // namespace
}  // namespace tramontane
