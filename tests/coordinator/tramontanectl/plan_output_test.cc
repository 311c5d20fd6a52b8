#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/tramontanectl/memory_size.h"
#include "coordinator/tramontanectl/plan_json.h"
#include "coordinator/tramontanectl/plan_table.h"
#include "coordinator/tramontanectl/plan_values.h"
#include "tests/coordinator/capacity/published_models.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

CapacityPlan Plan(int64_t gib, int64_t users) {
  CapacityRequest request = RequestFor(Mixtral8x7B(), gib * kGiB);
  request.users = users;
  request.expert_threads = 8;
  request.attention_threads = 4;
  const auto plan = PlanCapacity(request);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(PlanOutputTest, TheTableSaysWhatToStart) {
  const std::string table = PlanTable(Plan(27, 16), {});
  EXPECT_THAT(table, AllOf(HasSubstr("32 layers of 8 experts, top-2"), HasSubstr("EXPERT SHARD"),
                           HasSubstr("expert_worker --experts=6-7"),
                           HasSubstr("--kv_cache_tokens=131072 --max_running_requests=16"),
                           HasSubstr("9 processes, 8 of them expert workers"),
                           HasSubstr("68 cores that compute")));
  EXPECT_THAT(table, Not(HasSubstr("attention_worker")));
}

TEST(PlanOutputTest, AttentionWorkersHaveTheCacheAndTheirOwnTable) {
  const std::string table = PlanTable(Plan(24, 64), {});
  EXPECT_THAT(table, AllOf(HasSubstr("ATTENTION WORKER, 4 of them"),
                           HasSubstr("attention_worker --max_step_tokens=512 --kv_block_size=16 "
                                     "--kv_cache_tokens=131072"),
                           HasSubstr("coordinator --max_step_tokens=512 --kv_block_size=16 "
                                     "--max_running_requests=16")));
}

TEST(PlanOutputTest, DividedLayersAreNamed) {
  EXPECT_EQ(ExpertsFlag({0, 16, 2, 1}, 32), "0-15:2");
  EXPECT_EQ(ExpertsFlag({0, 32, 2, 2}, 32), "2-3");
}

TEST(PlanOutputTest, BoundsAreSaidToBeBounds) {
  const CapacityPlan plan = Plan(27, 16);
  const DecodeBound bound = BoundDecode(plan, {50e9, 50e9}, 16);
  EXPECT_THAT(PlanTable(plan, {bound}), HasSubstr("16 of the users at once: at most "));
  const nlohmann::json json = nlohmann::json::parse(PlanJson(plan, {bound}));
  EXPECT_EQ(json["decode_bounds"][0]["users"], 16);
  EXPECT_DOUBLE_EQ(json["decode_bounds"][0]["tokens_per_second"], bound.tokens_per_second);
}

TEST(PlanOutputTest, JsonHasEveryItemInBytes) {
  const CapacityPlan plan = Plan(27, 16);
  const nlohmann::json json = nlohmann::json::parse(PlanJson(plan, {}));
  ASSERT_EQ(json["expert_shards"].size(), 4u);
  const nlohmann::json& memory = json["expert_shards"][1]["memory"];
  EXPECT_EQ(json["expert_shards"][1]["experts_flag"], "2-3");
  EXPECT_EQ(memory["items"]["weights"], plan.shards[1].memory.Bytes(kWeightsItem));
  int64_t sum = 0;
  for (const auto& [name, bytes] : memory["items"].items()) sum += bytes.get<int64_t>();
  EXPECT_EQ(memory["needs"], sum);
  EXPECT_EQ(json["coordinator"]["items"]["KV cache"], plan.attention.Bytes(kKvCacheItem));
  EXPECT_FALSE(json.contains("attention_worker"));
  EXPECT_FALSE(json.contains("decode_bounds"));
}

TEST(PlanOutputTest, ValuesHaveShardsWithMemory) {
  const std::string values = PlanValues(Plan(27, 16));
  EXPECT_THAT(values,
              AllOf(HasSubstr("  numLayers: 32\n  numExperts: 8\n  compute: bf16\n"),
                    HasSubstr("  kvCacheTokens: 131072\n"),
                    HasSubstr("    - name: e2-3\n      experts: \"2-3\"\n      replicas: 2\n"
                              "      resources:\n        requests: {cpu: 8, memory: "),
                    HasSubstr("attentionWorkers:\n  replicas: 0\n")));
  EXPECT_THAT(values, Not(HasSubstr("layers:")));
}

TEST(MemorySizeTest, ReadsUnitsOf1024AndOf1000) {
  EXPECT_EQ(*ParseMemorySize("24GiB", "m"), 24 * kGiB);
  EXPECT_EQ(*ParseMemorySize("24Gi", "m"), 24 * kGiB);
  EXPECT_EQ(*ParseMemorySize("1.5GiB", "m"), kGiB + kGiB / 2);
  EXPECT_EQ(*ParseMemorySize("80GB", "m"), 80'000'000'000);
  EXPECT_EQ(*ParseMemorySize("512M", "m"), 512'000'000);
  EXPECT_EQ(*ParseMemorySize("4096", "m"), 4'096);
}

TEST(MemorySizeTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "24 GiB", "-1GiB", "24GiBB", "nan", "0x10", "1e3", "0",
                           "9999999TiB", "12Qi", "1.2.3G"}) {
    EXPECT_THAT(std::string(ParseMemorySize(text, "expert_memory").status().message()),
                AllOf(HasSubstr("--expert_memory="), HasSubstr("expected a size")))
        << text;
  }
}

TEST(MemorySizeTest, WritesQuantitiesThatKubernetesReads) {
  EXPECT_EQ(KubernetesQuantity(24 * kGiB), "24Gi");
  EXPECT_EQ(KubernetesQuantity(64 << 20), "64Mi");
  EXPECT_EQ(KubernetesQuantity(1'000), "1000");
}

}  // namespace
}  // namespace tramontane
