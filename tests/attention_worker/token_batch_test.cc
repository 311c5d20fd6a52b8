#include "attention_worker/token_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tramontane {
namespace {

using ::testing::ElementsAre;

TEST(TokenBatchTest, RowsFollowEachOtherChunkAfterChunk) {
  const std::vector<int32_t> first_pages = {4};
  const std::vector<int32_t> second_pages = {7, 2};
  TokenBatch batch;
  batch.Append({.id = 1, .first_position = 0, .token_ids = {10, 11, 12}, .target_token_ids = {}},
               first_pages);
  batch.Append({.id = 2, .first_position = 20, .token_ids = {99}, .target_token_ids = {}},
               second_pages);
  EXPECT_THAT(batch.token_ids, ElementsAre(10, 11, 12, 99));
  ASSERT_EQ(batch.sequences.size(), 2u);
  EXPECT_EQ(batch.sequences[1].first_row, 3);
  EXPECT_EQ(batch.sequences[1].num_rows, 1);
  EXPECT_EQ(batch.sequences[1].first_position, 20);
  EXPECT_THAT(batch.sequences[1].page_table, ElementsAre(7, 2));
  EXPECT_TRUE(batch.logit_rows.empty());
}

TEST(TokenBatchTest, OnlyRowsWithATargetOrASampleNeedLogits) {
  const std::vector<int32_t> pages = {0};
  TokenBatch batch;
  batch.Append({.id = 1, .token_ids = {5, 6, 7}, .target_token_ids = {6, -1, -1}, .sample = true},
               pages);
  batch.Append({.id = 2, .token_ids = {8}, .target_token_ids = {3}, .sample = true}, pages);
  ASSERT_EQ(batch.logit_rows.size(), 3u);
  EXPECT_EQ(batch.logit_rows[0].row, 0);
  EXPECT_EQ(batch.logit_rows[0].target_token_id, 6);
  EXPECT_FALSE(batch.logit_rows[0].sample);
  EXPECT_EQ(batch.logit_rows[1].row, 2);
  EXPECT_EQ(batch.logit_rows[1].target_token_id, -1);
  EXPECT_TRUE(batch.logit_rows[1].sample);
  EXPECT_EQ(batch.logit_rows[2].row, 3);
  EXPECT_EQ(batch.logit_rows[2].chunk, 1);
  EXPECT_EQ(batch.logit_rows[2].target_token_id, 3);
  EXPECT_TRUE(batch.logit_rows[2].sample);
}

}  // namespace
}  // namespace tramontane
