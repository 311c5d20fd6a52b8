#include "attention_worker/dispatch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

absl::StatusOr<std::vector<PlannedBatch>> Plan(
    const std::vector<int32_t>& topk_expert_ids, int top_k,
    const std::vector<std::shared_ptr<ExpertClient>>& clients, int num_experts = 4) {
  const RoutedTokens routed = {
      .layer = 0,
      .num_tokens = static_cast<int64_t>(topk_expert_ids.size()) / top_k,
      .top_k = top_k,
      .topk_expert_ids = topk_expert_ids,
  };
  return PlanDispatch(routed, *BuildPlacement(1, num_experts, clients),
                      CountTokensPerExpert(routed, num_experts));
}

TEST(DispatchPlanTest, CountsPairsOfEachExpert) {
  const std::vector<int32_t> ids = {0, 2, 2, 3};
  EXPECT_THAT(CountTokensPerExpert({.num_tokens = 2, .top_k = 2, .topk_expert_ids = ids}, 4),
              ElementsAre(1, 0, 2, 1));
}

TEST(DispatchPlanTest, ARowGoesOnceToAWorkerThatComputesItTwice) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3});
  const auto batches = Plan({3, 1, 1, 2}, 2, {client});
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 1u);
  const PlannedBatch& batch = batches->front();
  EXPECT_THAT(batch.tokens, ElementsAre(0, 1));
  EXPECT_THAT(batch.expert_ids, ElementsAre(1, 2, 3));
  EXPECT_THAT(batch.rows_per_expert, ElementsAre(2, 1, 1));
  EXPECT_THAT(batch.row_indices, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(batch.slots, ElementsAre(1, 2, 3, 0));  // token * top_k + rank
}

TEST(DispatchPlanTest, EachWorkerGetsTheRowsOfItsExperts) {
  const auto low = std::make_shared<StatedClient>("low", std::vector{0, 1});
  const auto high = std::make_shared<StatedClient>("high", std::vector{2, 3});
  const auto batches = Plan({0, 1, 2, 0, 3, 2}, 2, {low, high});
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_EQ((*batches)[0].client, low);
  EXPECT_THAT((*batches)[0].tokens, ElementsAre(0, 1));
  EXPECT_THAT((*batches)[0].slots, ElementsAre(0, 3, 1));
  EXPECT_EQ((*batches)[1].client, high);
  EXPECT_THAT((*batches)[1].tokens, ElementsAre(1, 2));
  EXPECT_THAT((*batches)[1].slots, ElementsAre(2, 5, 4));
}

TEST(DispatchPlanTest, ReplicasShareTheLoad) {
  const auto a = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3});
  const auto b = std::make_shared<StatedClient>("b", std::vector{0, 1, 2, 3});
  // Expert 0 has three pairs, 1, 2 and 3 one each: three for either.
  const auto batches = Plan({0, 1, 0, 2, 0, 3}, 2, {a, b});
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_EQ((*batches)[0].slots.size(), 3u);
  EXPECT_EQ((*batches)[1].slots.size(), 3u);
}

TEST(DispatchPlanTest, BatchesAreCutAtTheLimitWithoutPartingARow) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3}, 5);
  const auto batches = Plan({0, 1, 0, 2, 0, 3, 1, 2}, 2, {client});
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_THAT((*batches)[0].tokens, ElementsAre(0, 1));
  EXPECT_THAT((*batches)[1].tokens, ElementsAre(2, 3));
}

TEST(DispatchPlanTest, ALimitBelowTopKPartsARow) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1, 2, 3}, 1);
  const auto batches = Plan({2, 0, 1, 3}, 2, {client});
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 4u);
  std::set<int32_t> slots;
  for (const PlannedBatch& batch : *batches) {
    ASSERT_EQ(batch.slots.size(), 1u);
    EXPECT_EQ(batch.tokens.size(), 1u);
    slots.insert(batch.slots[0]);
  }
  EXPECT_THAT(slots, ElementsAre(0, 1, 2, 3));
}

TEST(DispatchPlanTest, NamesTheExpertsThatNobodyHosts) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0});
  const auto batches = Plan({0, 3, 2, 0}, 2, {client});
  EXPECT_EQ(batches.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(batches.status().message()), HasSubstr("layer 0 experts 2, 3"));
}

TEST(DispatchPlanTest, AMissingExpertWithoutTokensIsNoError) {
  const auto client = std::make_shared<StatedClient>("a", std::vector{0, 1});
  EXPECT_TRUE(Plan({0, 1}, 2, {client}).ok());
}

}  // namespace
}  // namespace tramontane
