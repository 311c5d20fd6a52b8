#include "coordinator/capacity/capacity_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <utility>

#include "tests/coordinator/capacity/published_models.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What holds for every plan: each expert of each layer is in exactly one shard, names differ, and
// every process fits into the memory given, headroom included.
void ExpectSound(const CapacityPlan& plan) {
  const CapacityRequest& request = plan.request;
  std::set<std::pair<int, int>> covered;
  std::set<std::string> names;
  for (const ExpertShard& shard : plan.shards) {
    EXPECT_TRUE(names.insert(shard.name).second) << shard.name;
    const ExpertBlock& block = shard.block;
    for (int layer = block.first_layer; layer < block.first_layer + block.num_layers; ++layer) {
      for (int e = block.first_expert; e < block.first_expert + block.num_experts; ++e) {
        EXPECT_TRUE(covered.emplace(layer, e).second) << layer << " " << e;
      }
    }
    EXPECT_LE(shard.memory.total() * 100,
              request.expert_memory_bytes * (100 - request.headroom_percent));
    EXPECT_GE(plan.GivenToExpertWorker(shard), shard.memory.total());
    EXPECT_LE(plan.GivenToExpertWorker(shard), request.expert_memory_bytes);
  }
  EXPECT_EQ(covered.size(),
            static_cast<size_t>(request.model.num_layers * request.model.num_experts));
  EXPECT_EQ(plan.num_expert_workers, static_cast<int64_t>(plan.shards.size()) * request.replicas);
  EXPECT_LE(plan.attention.total() * 100,
            request.attention_memory_bytes * (100 - request.headroom_percent));
  const int64_t processes = plan.attention_in_coordinator ? 1 : plan.num_attention_workers;
  EXPECT_GE(processes * plan.users_per_attention, request.users);
  EXPECT_GE(plan.kv_cache_tokens, plan.users_per_attention * request.context_tokens);
}

TEST(CapacityPlanTest, MixtralOn24GiBTakesFourShardsOfTwoExperts) {
  const auto plan = PlanCapacity(RequestFor(Mixtral8x7B(), 27 * kGiB));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  ASSERT_EQ(plan->shards.size(), 4u);
  EXPECT_EQ(plan->shards[0].name, "e0-1");
  // 32 layers of two experts of 3 x 4,096 x 14,336 bf16 weights.
  EXPECT_EQ(plan->shards[0].memory.Bytes(kWeightsItem), int64_t{64} * 3 * 4'096 * 14'336 * 2);
  EXPECT_EQ(plan->num_expert_workers, 8);
  EXPECT_TRUE(plan->attention_in_coordinator);
  EXPECT_EQ(plan->kv_cache_tokens, 16 * 8'192);
  EXPECT_GE(plan->attention.Bytes(kKvCacheItem), int64_t{16} * 8'192 * 131'072);
}

TEST(CapacityPlanTest, EveryPlanOfManyIsSoundOrSaysWhatToChange) {
  int planned = 0;
  int refused = 0;
  for (const MixtralConfig& model : {Mixtral8x7B(), Mixtral8x22B()}) {
    for (const int64_t gib : {1, 3, 6, 8, 12, 16, 24, 40, 80, 141, 512}) {
      for (const int64_t users : {1, 7, 64}) {
        for (const DType dtype : {DType::kBF16, DType::kF32}) {
          CapacityRequest request = RequestFor(model, gib * kGiB);
          request.users = users;
          request.compute_dtype = dtype;
          const auto plan = PlanCapacity(request);
          if (plan.ok()) {
            ++planned;
            ExpectSound(*plan);
            continue;
          }
          ++refused;
          EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition) << plan.status();
          EXPECT_THAT(std::string(plan.status().message()),
                      AllOf(HasSubstr("needs"), HasSubstr("leaves"), HasSubstr("give more")));
        }
      }
    }
  }
  EXPECT_GT(planned, 70);
  EXPECT_GT(refused, 5);
}

TEST(CapacityPlanTest, ExpertsAreDividedEvenly) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), 80 * kGiB);
  request.max_experts_per_shard = 3;
  const auto plan = PlanCapacity(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  ASSERT_EQ(plan->shards.size(), 3u);
  EXPECT_EQ(plan->shards[0].name, "e0-1");
  EXPECT_EQ(plan->shards[1].name, "e2-4");
  EXPECT_EQ(plan->shards[2].name, "e5-7");
}

TEST(CapacityPlanTest, LayersAreDividedWhereNoWorkerHoldsOneExpertOfAll) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), 8 * kGiB);
  request.attention_memory_bytes = 80 * kGiB;
  const auto plan = PlanCapacity(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  EXPECT_LT(plan->shards[0].block.num_layers, 32);
  EXPECT_EQ(plan->shards[0].name.front(), 'l');
  // 256 experts of 336 MiB, of which 7.2 GiB hold 21.
  EXPECT_GE(plan->shards.size(), 13u);
  EXPECT_LE(plan->shards.size(), 16u);

  request.split_layers = false;
  EXPECT_THAT(std::string(PlanCapacity(request).status().message()),
              AllOf(HasSubstr("one expert of every layer needs"), HasSubstr("--split_layers")));
}

TEST(CapacityPlanTest, AttentionMovesToWorkersWhereTheCoordinatorCannotHoldAllUsers) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), 24 * kGiB);
  request.users = 64;  // 64 GiB of keys and values
  const auto plan = PlanCapacity(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  EXPECT_FALSE(plan->attention_in_coordinator);
  EXPECT_EQ(plan->num_attention_workers, 4);
  EXPECT_EQ(plan->users_per_attention, 16);
  EXPECT_EQ(plan->coordinator.Bytes(kWeightsItem), 0);

  request.spare_attention_workers = 1;
  EXPECT_EQ(PlanCapacity(request)->num_attention_workers, 5);
  request.attention = AttentionPlace::kCoordinator;
  EXPECT_THAT(std::string(PlanCapacity(request).status().message()),
              AllOf(HasSubstr("64 users of 8192 tokens needs"), HasSubstr("--attention=workers")));
}

TEST(CapacityPlanTest, MoreExpertWorkersThanAllowedAreRefused) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), 27 * kGiB);
  request.max_expert_workers = 7;
  EXPECT_THAT(std::string(PlanCapacity(request).status().message()),
              AllOf(HasSubstr("4 shards of 2 replicas need 8"), HasSubstr("allows 7")));
  request.max_expert_workers = 8;
  EXPECT_TRUE(PlanCapacity(request).ok());
}

TEST(CapacityPlanTest, WhatIsOutOfRangeIsNamedWithItsLimits) {
  const std::pair<const char*, std::function<void(CapacityRequest&)>> cases[] = {
      {"--users: expected 1 to 1000000, found 0", [](CapacityRequest& r) { r.users = 0; }},
      {"--context: expected 1 to 32768, found 32769",
       [](CapacityRequest& r) { r.context_tokens = 32'769; }},
      {"--replicas: expected 1 to 1000, found 0", [](CapacityRequest& r) { r.replicas = 0; }},
      {"--headroom_percent: expected 0 to 90, found 91",
       [](CapacityRequest& r) { r.headroom_percent = 91; }},
      {"--experts_per_shard: expected 0 to 8, found 9",
       [](CapacityRequest& r) { r.max_experts_per_shard = 9; }},
      {"--kv_block_size: expected a multiple of 16, found 24",
       [](CapacityRequest& r) { r.kv_block_size = 24; }},
      {"--expert_memory: expected 1 to ", [](CapacityRequest& r) { r.expert_memory_bytes = 0; }},
  };
  for (const auto& [message, change] : cases) {
    CapacityRequest request = RequestFor(Mixtral8x7B(), 80 * kGiB);
    change(request);
    const absl::Status status = PlanCapacity(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(CapacityPlanTest, NoContextMeansTheModels) {
  CapacityRequest request = RequestFor(Mixtral8x22B(), 512 * kGiB);
  request.context_tokens = 0;
  request.users = 1;
  const auto plan = PlanCapacity(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->request.context_tokens, 65'536);
  EXPECT_EQ(plan->kv_cache_tokens, 65'536);
}

}  // namespace
}  // namespace tramontane
