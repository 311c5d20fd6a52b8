#include "coordinator/attention_placement.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tramontane {
namespace {

const AttentionLoad kIdle = {.ready = true, .num_running = 0};

std::vector<int32_t> Tokens(int count, int first = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

AttentionLoad Running(int count) { return {.ready = true, .num_running = count}; }

TEST(AttentionPlacementTest, ChoosesTheLeastLoadedThatIsReady) {
  AttentionPlacement placement(3, 4);
  EXPECT_EQ(placement.Choose(Tokens(8), {{Running(3), Running(1), Running(2)}}), 1);
  EXPECT_EQ(placement.Choose(Tokens(8), {{Running(3), {.ready = false}, Running(2)}}), 2);
  EXPECT_EQ(placement.Choose(Tokens(8), {{{}, {}, {}}}), -1);
}

TEST(AttentionPlacementTest, PrefersTheWorkerThatHasRunTheBeginning) {
  AttentionPlacement placement(2, 4);
  placement.Record(Tokens(8), 1);
  EXPECT_EQ(placement.Choose(Tokens(8), {{kIdle, Running(2)}}), 1);
  EXPECT_EQ(placement.Choose(Tokens(20), {{kIdle, Running(2)}}), 1);
  EXPECT_EQ(placement.Choose(Tokens(8, 50), {{kIdle, Running(2)}}), 0);
  EXPECT_EQ(placement.Choose(Tokens(3), {{kIdle, Running(2)}}), 0) << "less than a block";
}

TEST(AttentionPlacementTest, TheLongestBeginningCounts) {
  AttentionPlacement placement(2, 4);
  placement.Record(Tokens(16), 0);
  placement.Record(Tokens(8), 1);  // the first blocks are the other's now
  EXPECT_EQ(placement.Choose(Tokens(8), {{kIdle, kIdle}}), 1);
  EXPECT_EQ(placement.Choose(Tokens(16), {{Running(1), kIdle}}), 0);
}

TEST(AttentionPlacementTest, AHitIsNotWorthAnyLoad) {
  AttentionPlacement placement(2, 4);
  placement.Record(Tokens(8), 1);
  EXPECT_EQ(placement.Choose(Tokens(8), {{Running(1), Running(50)}}), 0);
}

TEST(AttentionPlacementTest, ForgetsTheLeastRecentlyUsed) {
  AttentionPlacement placement(2, 4, /*max_beginnings=*/2);
  placement.Record(Tokens(4, 0), 1);
  placement.Record(Tokens(4, 10), 1);
  placement.Record(Tokens(4, 0), 1);
  placement.Record(Tokens(4, 20), 1);
  EXPECT_EQ(placement.Choose(Tokens(4, 0), {{kIdle, Running(1)}}), 1);
  EXPECT_EQ(placement.Choose(Tokens(4, 10), {{kIdle, Running(1)}}), 0);
}

}  // namespace
}  // namespace tramontane
