#include "attention_worker/grpc/placement_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tramontane {
namespace {

using Hosted = ExpertWorkerDescription::Hosted;

std::string Text(const std::vector<Hosted>& experts) {
  std::string text;
  for (const v1::ExpertRange& range : ToRanges(experts)) {
    text += std::to_string(range.first_layer()) + "-" + std::to_string(range.last_layer()) + ":" +
            std::to_string(range.first_expert()) + "-" + std::to_string(range.last_expert()) + " ";
  }
  return text;
}

TEST(PlacementMessagesTest, RangesJoinNeighboursAndLayersThatAreAlike) {
  EXPECT_EQ(Text({{0, 0}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {2, 1}}), "0-2:0-1 ");
  EXPECT_EQ(Text({{0, 0}, {0, 2}, {1, 0}, {1, 2}}), "0-1:0-0 0-1:2-2 ");
}

TEST(PlacementMessagesTest, RangesPartWhereLayersDifferOrAreMissing) {
  EXPECT_EQ(Text({{0, 0}, {1, 1}}), "0-0:0-0 1-1:1-1 ");
  EXPECT_EQ(Text({{0, 0}, {2, 0}}), "0-0:0-0 2-2:0-0 ");
  EXPECT_EQ(Text({}), "");
}

TEST(PlacementMessagesTest, AWorkerTellsSinceWhenAndItsLastError) {
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  WorkerSnapshot worker;
  worker.address = "w:1";
  worker.state = WorkerState::kSetAside;
  worker.since = now - absl::Seconds(3);
  worker.last_error = absl::DeadlineExceededError("silent");
  worker.last_error_at = now - absl::Seconds(4);
  const v1::PlacedExpertWorker message = ToMessage(worker, now);
  EXPECT_EQ(message.state(), v1::PLACED_WORKER_STATE_SET_ASIDE);
  EXPECT_EQ(message.state_seconds(), 3);
  EXPECT_EQ(message.last_error(), "silent");
  EXPECT_EQ(message.last_error_seconds(), 4);
}

}  // namespace
}  // namespace tramontane
