#include "coordinator/capacity/decode_bound.h"

#include <gtest/gtest.h>

#include "tests/coordinator/capacity/published_models.h"

namespace tramontane {
namespace {

constexpr ReadBandwidth kBandwidth = {.expert_worker = 100e9, .attention = 100e9};

CapacityPlan Plan(int replicas, int experts_per_shard) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), 512 * kGiB);
  request.replicas = replicas;
  request.max_experts_per_shard = experts_per_shard;
  const auto plan = PlanCapacity(request);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(DecodeBoundTest, OneUserReadsTopKExpertsOfEachLayer) {
  const DecodeBound bound = BoundDecode(Plan(1, 8), kBandwidth, 1);
  const double expert = 3.0 * 4'096 * 14'336 * 2;
  EXPECT_NEAR(bound.expert_bytes, 32 * 2 * expert, 1);
  // Attention, router, LM head: some 1.47 billion weights; and 8,192 cached positions.
  EXPECT_NEAR(bound.attention_bytes, 2 * 1.474e9 + 8'192 * 131'072.0, 0.02e9);
  EXPECT_NEAR(bound.tokens_per_second, 100e9 / (bound.expert_bytes + bound.attention_bytes), 0.001);
}

TEST(DecodeBoundTest, ManyUsersReadEveryExpertOnce) {
  const DecodeBound bound = BoundDecode(Plan(1, 8), kBandwidth, 64);
  const double expert = 3.0 * 4'096 * 14'336 * 2;
  EXPECT_NEAR(bound.expert_bytes / (32 * 8 * expert), 1.0, 1e-6);
}

TEST(DecodeBoundTest, WorkersThatShareALayerReadAtTheSameTime) {
  const DecodeBound one = BoundDecode(Plan(1, 8), kBandwidth, 16);
  const DecodeBound four = BoundDecode(Plan(1, 2), kBandwidth, 16);
  const DecodeBound eight = BoundDecode(Plan(2, 2), kBandwidth, 16);
  EXPECT_EQ(one.expert_bytes, four.expert_bytes);
  const double attention_seconds = one.attention_bytes / 100e9;
  EXPECT_NEAR((one.step_seconds - attention_seconds) / (four.step_seconds - attention_seconds), 4,
              0.001);
  EXPECT_LT(eight.step_seconds, four.step_seconds);
}

TEST(DecodeBoundTest, AnExpertIsReadByOneWorkerAtLeast) {
  // Two experts a layer keep at most two of sixteen workers busy.
  const DecodeBound bound = BoundDecode(Plan(2, 1), kBandwidth, 1);
  const double expert = 3.0 * 4'096 * 14'336 * 2;
  EXPECT_NEAR(bound.step_seconds, (32 * expert + bound.attention_bytes) / 100e9, 1e-6);
}

}  // namespace
}  // namespace tramontane
