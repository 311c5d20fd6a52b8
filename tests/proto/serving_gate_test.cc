#include "proto/serving/serving_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

using testing::ElementsAre;

TEST(ServingGateTest, TellsEveryChangeUntilItIsClosed) {
  ServingGate gate;
  std::vector<bool> told;
  gate.SetReady(true);
  gate.Open([&told](bool serving) { told.push_back(serving); });
  EXPECT_FALSE(gate.SetReady(true));
  EXPECT_TRUE(gate.SetReady(false));
  EXPECT_TRUE(gate.SetReady(true));
  gate.Close();
  gate.SetReady(false);
  EXPECT_THAT(told, ElementsAre(true, false, true, false));
}

TEST(ServingGateTest, KnowsWhenItWasReadyLast) {
  ServingGate gate;
  EXPECT_EQ(gate.last_ready(), absl::InfinitePast());
  gate.SetReady(false);
  EXPECT_EQ(gate.last_ready(), absl::InfinitePast());
  gate.SetReady(true);
  const absl::Time before = absl::Now();
  EXPECT_GE(gate.last_ready(), before);
  gate.SetReady(false);
  const absl::Time lost = gate.last_ready();
  EXPECT_GE(lost, before);
  EXPECT_LE(lost, absl::Now());
  gate.SetReady(false);
  EXPECT_EQ(gate.last_ready(), lost);
}

}  // namespace
}  // namespace tramontane
