#include "attention_worker/dispatch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

// A worker that only states what it hosts.
class StatedClient : public ExpertClient {
 public:
  StatedClient(std::string address, std::vector<int> experts, int max_batch_rows = 1 << 16)
      : address_(std::move(address)) {
    for (const int expert : experts) description_.experts.push_back({0, expert});
    description_.max_batch_rows = max_batch_rows;
  }
  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  void Execute(ExpertBatch /*batch*/, Done /*done*/) override {
    FAIL() << "planning sends nothing";
  }

 private:
  const std::string address_;
  ExpertWorkerDescription description_;
};

DispatchPlan Plan(const std::vector<int32_t>& topk_expert_ids, int top_k,
                  const std::vector<std::shared_ptr<ExpertClient>>& clients,
                  const std::vector<const ExpertClient*>& excluded = {}, int num_experts = 4) {
  const RoutedTokens routed = {
      .layer = 0,
      .num_tokens = static_cast<int64_t>(topk_expert_ids.size()) / top_k,
      .top_k = top_k,
      .topk_expert_ids = topk_expert_ids,
  };
  std::vector<int32_t> slots(topk_expert_ids.size());
  std::iota(slots.begin(), slots.end(), 0);
  return PlanDispatch(routed, slots, *BuildPlacement(1, num_experts, clients), excluded, kNow);
}

TEST(DispatchPlanTest, CountsPairsOfEachExpert) {
  const std::vector<int32_t> ids = {0, 2, 2, 3};
  EXPECT_THAT(CountTokensPerExpert({.num_tokens = 2, .top_k = 2, .topk_expert_ids = ids}, 4),
              ElementsAre(1, 0, 2, 1));
}

TEST(DispatchPlanTest, ARowGoesOnceToAWorkerThatComputesItTwice) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3});
  const std::vector<PlannedBatch> batches = Plan({3, 1, 1, 2}, 2, {client}).batches;
  ASSERT_EQ(batches.size(), 1u);
  const PlannedBatch& batch = batches.front();
  EXPECT_THAT(batch.tokens, ElementsAre(0, 1));
  EXPECT_THAT(batch.expert_ids, ElementsAre(1, 2, 3));
  EXPECT_THAT(batch.rows_per_expert, ElementsAre(2, 1, 1));
  EXPECT_THAT(batch.row_indices, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(batch.slots, ElementsAre(1, 2, 3, 0));  // token * top_k + rank
}

TEST(DispatchPlanTest, EachWorkerGetsTheRowsOfItsExperts) {
  const auto low = std::make_shared<StatedClient>("low", std::vector{0, 1});
  const auto high = std::make_shared<StatedClient>("high", std::vector{2, 3});
  const std::vector<PlannedBatch> batches = Plan({0, 1, 2, 0, 3, 2}, 2, {low, high}).batches;
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].client, low);
  EXPECT_THAT(batches[0].tokens, ElementsAre(0, 1));
  EXPECT_THAT(batches[0].slots, ElementsAre(0, 3, 1));
  EXPECT_EQ(batches[1].client, high);
  EXPECT_THAT(batches[1].tokens, ElementsAre(1, 2));
  EXPECT_THAT(batches[1].slots, ElementsAre(2, 5, 4));
}

TEST(DispatchPlanTest, ReplicasShareTheLoad) {
  const auto a = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3});
  const auto b = std::make_shared<StatedClient>("b", std::vector{0, 1, 2, 3});
  const std::vector<PlannedBatch> batches = Plan({0, 1, 0, 2, 0, 3}, 2, {a, b}).batches;
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].expert_ids.size(), 2u);
  EXPECT_EQ(batches[1].expert_ids.size(), 2u);
}

TEST(DispatchPlanTest, BatchesAreCutAtTheLimitWithoutPartingARow) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3}, 5);
  const std::vector<PlannedBatch> batches = Plan({0, 1, 0, 2, 0, 3, 1, 2}, 2, {client}).batches;
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_THAT(batches[0].tokens, ElementsAre(0, 1));
  EXPECT_THAT(batches[1].tokens, ElementsAre(2, 3));
}

TEST(DispatchPlanTest, ALimitBelowTopKPartsARow) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3}, 1);
  const std::vector<PlannedBatch> batches = Plan({2, 0, 1, 3}, 2, {client}).batches;
  ASSERT_EQ(batches.size(), 4u);
  std::set<int32_t> slots;
  for (const PlannedBatch& batch : batches) {
    ASSERT_EQ(batch.slots.size(), 1u);
    EXPECT_EQ(batch.tokens.size(), 1u);
    slots.insert(batch.slots[0]);
  }
  EXPECT_THAT(slots, ElementsAre(0, 1, 2, 3));
}

TEST(DispatchPlanTest, TellsTheExpertsThatNobodyHostsAndPlansTheOthers) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0});
  const DispatchPlan plan = Plan({0, 3, 2, 0}, 2, {client});
  EXPECT_THAT(plan.missing_experts, ElementsAre(2, 3));
  ASSERT_EQ(plan.batches.size(), 1u);
  EXPECT_THAT(plan.batches[0].slots, ElementsAre(0, 3));
}

TEST(DispatchPlanTest, AMissingExpertWithoutTokensIsNotMissed) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1});
  EXPECT_THAT(Plan({0, 1}, 2, {client}).missing_experts, IsEmpty());
}

TEST(DispatchPlanTest, AnExcludedReplicaGetsNothing) {
  const auto a = std::make_shared<StatedClient>("a", std::vector{0, 1});
  const auto b = std::make_shared<StatedClient>("b", std::vector{0});
  const DispatchPlan plan = Plan({0, 1, 1, 0}, 2, {a, b}, {a.get()});
  ASSERT_EQ(plan.batches.size(), 1u);
  EXPECT_EQ(plan.batches[0].client, b);
  EXPECT_THAT(plan.batches[0].slots, ElementsAre(0, 3));
  EXPECT_THAT(plan.missing_experts, ElementsAre(1));
}

TEST(DispatchPlanTest, PlansOnlyTheSlotsThatItIsGiven) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1});
  const std::vector<int32_t> ids = {0, 1, 1, 0};
  const DispatchPlan plan =
      PlanDispatch({.num_tokens = 2, .top_k = 2, .topk_expert_ids = ids},
                   std::vector<int32_t>{1, 3}, *BuildPlacement(1, 2, {client}), {}, kNow);
  ASSERT_EQ(plan.batches.size(), 1u);
  EXPECT_THAT(plan.batches[0].tokens, ElementsAre(0, 1));
  EXPECT_THAT(plan.batches[0].slots, ElementsAre(3, 1));
}

TEST(DispatchPlanTest, RowsOfAHotExpertSplitOverItsReplicasBySpeed) {
  const auto fast = std::make_shared<StatedClient>("fast", std::vector{0});
  const auto slow = std::make_shared<StatedClient>("slow", std::vector{0});
  for (const auto& client : {fast, slow}) {
    const double units = client->load()->Begin(100);
    client->load()->Answered(100, units, absl::Milliseconds(client == fast ? 1 : 2),
                             absl::ZeroDuration(), kNow);
  }
  const DispatchPlan plan = Plan(std::vector<int32_t>(300, 0), 1, {fast, slow});
  ASSERT_EQ(plan.batches.size(), 2u);
  const double fast_pairs = static_cast<double>(plan.batches[0].slots.size());
  EXPECT_NEAR(fast_pairs / 300, 2.0 / 3, 0.03);  // each also reads the weights
  std::set<int32_t> slots(plan.batches[0].slots.begin(), plan.batches[0].slots.end());
  slots.insert(plan.batches[1].slots.begin(), plan.batches[1].slots.end());
  EXPECT_EQ(slots.size(), 300u);
}

}  // namespace
}  // namespace tramontane
