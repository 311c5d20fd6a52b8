#include "attention_worker/kv_cache/kv_block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace tramontane {
namespace {

TEST(KvBlockPoolTest, ReservesWholeBlocks) {
  KvBlockPool pool(/*num_blocks=*/10, /*block_size=*/16);
  const auto one = pool.Reserve(16);
  const auto two = pool.Reserve(17);
  ASSERT_TRUE(one.has_value());
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(one->blocks().size(), 1u);
  EXPECT_EQ(two->blocks().size(), 2u);
  EXPECT_EQ(pool.num_free_blocks(), 7);
}

TEST(KvBlockPoolTest, NoBlockBelongsToTwo) {
  KvBlockPool pool(8, 16);
  const auto a = pool.Reserve(4 * 16);
  const auto b = pool.Reserve(4 * 16);
  std::set<int32_t> blocks(a->blocks().begin(), a->blocks().end());
  blocks.insert(b->blocks().begin(), b->blocks().end());
  EXPECT_EQ(blocks.size(), 8u);
  EXPECT_EQ(*blocks.begin(), 0);
  EXPECT_EQ(*blocks.rbegin(), 7);
}

TEST(KvBlockPoolTest, RefusesWhatDoesNotFitAndTakesNothing) {
  KvBlockPool pool(2, 16);
  EXPECT_FALSE(pool.Reserve(33).has_value());
  EXPECT_EQ(pool.num_free_blocks(), 2);
}

TEST(KvBlockPoolTest, BlocksComeBackOnceWhenTheirTableGoes) {
  KvBlockPool pool(4, 16);
  {
    auto table = pool.Reserve(64);
    const PageTable moved = *std::move(table);
    EXPECT_EQ(pool.num_free_blocks(), 0);
  }
  EXPECT_EQ(pool.num_free_blocks(), 4);
  EXPECT_TRUE(pool.Reserve(64).has_value());
}

}  // namespace
}  // namespace tramontane
