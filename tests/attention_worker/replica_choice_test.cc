#include "attention_worker/replica_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace tramontane {
namespace {

using ::testing::SizeIs;

using Shares = std::vector<std::vector<ExpertShare>>;

std::vector<ReplicaSpeed> Workers(int count, double seconds_per_unit = 1) {
  return std::vector<ReplicaSpeed>(count, {0, seconds_per_unit});
}

std::vector<int> All(int count) {
  std::vector<int> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

int64_t PairsOf(const Shares& shares, int worker) {
  int64_t pairs = 0;
  for (const auto& expert : shares) {
    for (const ExpertShare& share : expert) pairs += share.worker == worker ? share.num_pairs : 0;
  }
  return pairs;
}

TEST(ReplicaChoiceTest, SharesSumUpToTheDemand) {
  std::vector<ExpertDemand> demands;
  for (int expert = 0; expert < 8; ++expert) {
    demands.push_back({17 * expert * expert, {expert % 4, (expert + 1) % 4, (expert + 3) % 4}});
  }
  const Shares shares = ChooseReplicas(demands, Workers(4));
  for (size_t expert = 0; expert < demands.size(); ++expert) {
    int64_t pairs = 0;
    for (const ExpertShare& share : shares[expert]) pairs += share.num_pairs;
    EXPECT_EQ(pairs, demands[expert].num_pairs);
  }
}

TEST(ReplicaChoiceTest, EqualExpertsSpreadOverEqualWorkersWhole) {
  const Shares shares = ChooseReplicas(std::vector<ExpertDemand>(8, {100, All(4)}), Workers(4));
  for (const auto& expert : shares) EXPECT_THAT(expert, SizeIs(1));
  for (int worker = 0; worker < 4; ++worker) EXPECT_EQ(PairsOf(shares, worker), 200);
}

TEST(ReplicaChoiceTest, AWorkerHalfAsFastGetsHalfOfTheWork) {
  const std::vector<ReplicaSpeed> workers = {{0, 1.0}, {0, 2.0}};
  const Shares shares = ChooseReplicas(std::vector<ExpertDemand>(8, {1000, All(2)}), workers);
  const double ratio =
      static_cast<double>(PairsOf(shares, 0)) / static_cast<double>(PairsOf(shares, 1));
  EXPECT_NEAR(ratio, 2.0, 0.1);  // an expert that is split is read twice
}

TEST(ReplicaChoiceTest, AHotExpertSplitsOverItsReplicas) {
  const Shares shares = ChooseReplicas(std::vector<ExpertDemand>{{900, All(3)}}, Workers(3));
  ASSERT_THAT(shares[0], SizeIs(3));
  // Two thirds of the rounds' rows, and what a move must gain, may separate them.
  for (int worker = 0; worker < 3; ++worker) EXPECT_NEAR(PairsOf(shares, worker), 300, 30);
}

TEST(ReplicaChoiceTest, FewRowsAreNotSplit) {
  const Shares shares = ChooseReplicas(std::vector<ExpertDemand>{{20, All(4)}}, Workers(4));
  EXPECT_THAT(shares[0], SizeIs(1));
}

TEST(ReplicaChoiceTest, WorkThatIsOutstandingCounts) {
  const std::vector<ReplicaSpeed> workers = {{1000, 1.0}, {0, 1.0}};
  const Shares shares =
      ChooseReplicas(std::vector<ExpertDemand>{{8, All(2)}, {8, All(2)}}, workers);
  EXPECT_EQ(PairsOf(shares, 1), 16);
}

TEST(ReplicaChoiceTest, AWorkerWithBacklogAloneDoesNotStopTheOthersFromSharing) {
  const std::vector<ReplicaSpeed> workers = {{1e6, 1.0}, {0, 1.0}, {0, 1.0}};
  const Shares shares = ChooseReplicas(std::vector<ExpertDemand>{{600, All(3)}}, workers);
  EXPECT_NEAR(PairsOf(shares, 1), 300, 30);
  EXPECT_NEAR(PairsOf(shares, 2), 300, 30);
}

// The choice made again and again with what the last ones measured: batches cost 1 ms on their way
// and 10 us a unit, on equal workers.
TEST(ReplicaChoiceTest, EqualWorkersShareEvenlyWhateverTheyBeginWith) {
  constexpr int kWorkers = 4;
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  std::vector<ReplicaLoad> loads(kWorkers);
  const auto answer = [&](ReplicaLoad& load, double units) {
    const double ahead = load.Begin(units);
    load.Answered(units, ahead, absl::Milliseconds(1) + absl::Microseconds(10) * ahead,
                  absl::Milliseconds(1), now);
  };
  // One has had all of the work, and large batches of it; two others a row now and then.
  for (int i = 0; i < 50; ++i) answer(loads[0], 1000);
  answer(loads[1], 17);
  answer(loads[2], 17);
  std::vector<int64_t> pairs(kWorkers);
  for (int layer = 0; layer < 100; ++layer) {
    std::vector<ReplicaLoad::Reading> readings;
    for (const ReplicaLoad& load : loads) readings.push_back(load.Read());
    const Shares shares = ChooseReplicas(std::vector<ExpertDemand>(8, {20, All(kWorkers)}),
                                         EstimateSpeeds(readings, now));
    std::vector<double> units(kWorkers);
    for (const auto& expert : shares) {
      for (const ExpertShare& share : expert) {
        units[share.worker] += WorkUnits(share.num_pairs, 1);
        pairs[share.worker] += share.num_pairs;
      }
    }
    for (int worker = 0; worker < kWorkers; ++worker) {
      if (units[worker] > 0) answer(loads[worker], units[worker]);
    }
  }
  for (int worker = 0; worker < kWorkers; ++worker) EXPECT_NEAR(pairs[worker], 4000, 400);
}

TEST(ReplicaChoiceTest, ExpertsWithoutAChoiceComeFirst) {
  // Expert 1 can only go to worker 0, so expert 0, though larger, goes to worker 1.
  const Shares shares =
      ChooseReplicas(std::vector<ExpertDemand>{{12, All(2)}, {10, {0}}}, Workers(2));
  EXPECT_EQ(shares[0][0].worker, 1);
  EXPECT_EQ(shares[1][0].worker, 0);
}

}  // namespace
}  // namespace tramontane
