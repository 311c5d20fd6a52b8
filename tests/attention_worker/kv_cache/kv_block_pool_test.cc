#include "attention_worker/kv_cache/kv_block_pool.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <set>
#include <vector>

namespace tramontane {
namespace {

constexpr int32_t kNone = KvBlockPool::kNoBlock;
const std::vector<int32_t> kAb = {1, 2};
const std::vector<int32_t> kCd = {3, 4};
const std::vector<int32_t> kEf = {5, 6};

class KvBlockPoolTest : public ::testing::Test {
 protected:
  // A cached block that is not referenced.
  int32_t Cache(int32_t previous, const std::vector<int32_t>& token_ids) {
    const int32_t block = pool_.Publish(*pool_.Allocate(), previous, token_ids);
    pool_.Release({{block}});
    return block;
  }

  KvBlockPool pool_{/*num_blocks=*/3, /*block_size=*/2};
};

TEST_F(KvBlockPoolTest, HandsOutEachBlockOnce) {
  std::set<int32_t> blocks;
  for (int i = 0; i < 3; ++i) blocks.insert(pool_.Allocate().value());
  EXPECT_EQ(blocks, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool_.num_free_blocks(), 0);
  EXPECT_FALSE(pool_.Allocate().has_value());
}

TEST_F(KvBlockPoolTest, AReleasedBlockIsFreeAgain) {
  const int32_t block = *pool_.Allocate();
  pool_.Release({{block}});
  EXPECT_EQ(pool_.num_free_blocks(), 3);
  EXPECT_EQ(pool_.Allocate(), block);
}

TEST_F(KvBlockPoolTest, FindsAPublishedBlockByItsTokensAndWhatIsBefore) {
  const int32_t first = pool_.Publish(*pool_.Allocate(), kNone, kAb);
  const int32_t second = pool_.Publish(*pool_.Allocate(), first, kCd);
  EXPECT_EQ(pool_.FindCached(kNone, kAb), first);
  EXPECT_EQ(pool_.FindCached(first, kCd), second);
  EXPECT_FALSE(pool_.FindCached(kNone, kCd).has_value());
  EXPECT_FALSE(pool_.FindCached(second, kCd).has_value());
  EXPECT_FALSE(pool_.FindCached(first, kEf).has_value());
}

TEST_F(KvBlockPoolTest, ContentOutlivesItsLastReference) {
  const int32_t block = Cache(kNone, kAb);
  EXPECT_EQ(pool_.num_free_blocks(), 3);
  EXPECT_EQ(pool_.FindCached(kNone, kAb), block);
  EXPECT_EQ(pool_.num_free_blocks(), 2);
}

TEST_F(KvBlockPoolTest, ASharedBlockIsFreeAfterAllItsReferences) {
  const int32_t block = pool_.Publish(*pool_.Allocate(), kNone, kAb);
  ASSERT_EQ(pool_.FindCached(kNone, kAb), block);
  pool_.Release({{block}});
  EXPECT_EQ(pool_.num_free_blocks(), 2);
  pool_.Release({{block}});
  EXPECT_EQ(pool_.num_free_blocks(), 3);
}

TEST_F(KvBlockPoolTest, TheLeastRecentlyUsedContentGoesFirst) {
  const int32_t first = Cache(kNone, kAb);
  const int32_t second = Cache(kNone, kCd);
  // Used again, so that it is the more recent one.
  ASSERT_EQ(pool_.FindCached(kNone, kAb), first);
  pool_.Release({{first}});
  ASSERT_TRUE(pool_.Allocate().has_value());  // the empty one
  EXPECT_EQ(pool_.Allocate(), second);
  EXPECT_FALSE(pool_.FindCached(kNone, kCd).has_value());
  EXPECT_EQ(pool_.FindCached(kNone, kAb), first);
}

TEST_F(KvBlockPoolTest, TheEndOfASequenceGoesBeforeItsBeginning) {
  const int32_t first = pool_.Publish(*pool_.Allocate(), kNone, kAb);
  const int32_t second = pool_.Publish(*pool_.Allocate(), first, kCd);
  const int32_t third = pool_.Publish(*pool_.Allocate(), second, kEf);
  pool_.Release({{first, second, third}});
  EXPECT_EQ(pool_.Allocate(), third);
  EXPECT_EQ(pool_.Allocate(), second);
  EXPECT_EQ(pool_.FindCached(kNone, kAb), first);
}

TEST_F(KvBlockPoolTest, TheSameContentIsKeptOnce) {
  const int32_t kept = pool_.Publish(*pool_.Allocate(), kNone, kAb);
  const int32_t twin = *pool_.Allocate();
  EXPECT_EQ(pool_.Publish(twin, kNone, kAb), kept);
  EXPECT_EQ(pool_.num_free_blocks(), 2);  // the twin's block is free, and the kept one has two
  pool_.Release({{kept}});
  EXPECT_EQ(pool_.num_free_blocks(), 2);
  pool_.Release({{kept}});
  EXPECT_EQ(pool_.num_free_blocks(), 3);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Their allocators count nothing for mallinfo2.
TEST(KvBlockPoolBytesTest, TakesAboutTheBytesThatItSays) {
  for (const int block_size : {16, 64}) {
    constexpr int64_t kNumBlocks = 20'000;
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    KvBlockPool pool(kNumBlocks, block_size);
    std::vector<int32_t> tokens(static_cast<size_t>(block_size));
    for (int32_t id = 0; id < kNumBlocks; ++id) {
      tokens[0] = id;
      const std::optional<int32_t> block = pool.Allocate();
      ASSERT_TRUE(block.has_value());
      const int32_t published = pool.Publish(*block, KvBlockPool::kNoBlock, tokens);
      pool.Release({&published, 1});
    }
    const auto taken = static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd - before);
    const auto said = static_cast<double>(KvBlockPool::ApproximateBytes(kNumBlocks, block_size));
    EXPECT_NEAR(taken / said, 1.0, 0.1) << taken << " " << said;
  }
}
#endif

}  // namespace
}  // namespace tramontane
