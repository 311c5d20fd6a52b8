#include "attention_worker/kv_cache/page_table.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace tramontane {
namespace {

std::vector<int32_t> Tokens(int count, int32_t first = 100) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class PageTableTest : public ::testing::Test {
 protected:
  // Runs `token_ids` to their end; what the cache had needs no more blocks.
  void Run(PageTable& pages, const std::vector<int32_t>& token_ids) {
    ASSERT_TRUE(pages.Extend(static_cast<int64_t>(token_ids.size())));
    pages.Fill(std::span(token_ids).subspan(static_cast<size_t>(pages.num_tokens())));
  }

  KvBlockPool pool_{/*num_blocks=*/8, /*block_size=*/4};
};

TEST_F(PageTableTest, TakesBlocksAsPositionsNeedThem) {
  PageTable pages(&pool_, {});
  ASSERT_TRUE(pages.Extend(4));
  EXPECT_EQ(pages.blocks().size(), 1u);
  ASSERT_TRUE(pages.Extend(5));
  EXPECT_EQ(pages.blocks().size(), 2u);
  ASSERT_TRUE(pages.Extend(3));
  EXPECT_EQ(pages.blocks().size(), 2u);
  EXPECT_EQ(pool_.num_free_blocks(), 6);
}

TEST_F(PageTableTest, TakesNothingWhereTooFewAreFree) {
  PageTable first(&pool_, {});
  ASSERT_TRUE(first.Extend(6 * 4));
  PageTable second(&pool_, {});
  EXPECT_FALSE(second.Extend(3 * 4));
  EXPECT_TRUE(second.blocks().empty());
  EXPECT_EQ(pool_.num_free_blocks(), 2);
}

TEST_F(PageTableTest, TrimKeepsTheBlocksOfWhatIsFilled) {
  PageTable pages(&pool_, {});
  Run(pages, Tokens(6));
  const std::vector<int32_t> filled = pages.blocks();
  ASSERT_TRUE(pages.Extend(5 * 4));
  pages.Trim();
  EXPECT_EQ(pages.blocks(), filled);
  EXPECT_EQ(pool_.num_free_blocks(), 6);
  pages.Trim();
  EXPECT_EQ(pages.blocks(), filled);
}

TEST_F(PageTableTest, GivesAllBack) {
  {
    PageTable pages(&pool_, {});
    Run(pages, Tokens(10));
  }
  EXPECT_EQ(pool_.num_free_blocks(), 8);
}

TEST_F(PageTableTest, ASecondSequenceSharesTheFullBlocksOfTheFirst) {
  PageTable first(&pool_, {});
  Run(first, Tokens(10));
  const PageTable second(&pool_, Tokens(10));
  EXPECT_EQ(second.num_tokens(), 8);
  EXPECT_EQ(second.blocks(), (std::vector<int32_t>{first.blocks()[0], first.blocks()[1]}));
  EXPECT_EQ(pool_.num_free_blocks(), 5);
}

TEST_F(PageTableTest, SharesUpToTheFirstDifference) {
  PageTable first(&pool_, {});
  Run(first, Tokens(12));
  std::vector<int32_t> other = Tokens(12);
  other[5] = 7;
  EXPECT_EQ(PageTable(&pool_, other).num_tokens(), 4);
  other[0] = 7;
  EXPECT_EQ(PageTable(&pool_, other).num_tokens(), 0);
}

TEST_F(PageTableTest, ABlockFilledTokenByTokenIsSharedOnceItIsFull) {
  PageTable first(&pool_, {});
  const std::vector<int32_t> tokens = Tokens(4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(PageTable(&pool_, tokens).num_tokens(), 0);
    ASSERT_TRUE(first.Extend(i + 1));
    first.Fill({{tokens[static_cast<size_t>(i)]}});
  }
  EXPECT_EQ(PageTable(&pool_, tokens).num_tokens(), 4);
}

TEST_F(PageTableTest, SequencesThatRanSideBySideEndUpWithTheSameBlocks) {
  PageTable first(&pool_, {});
  PageTable second(&pool_, {});
  ASSERT_TRUE(first.Extend(9));
  ASSERT_TRUE(second.Extend(9));
  first.Fill(Tokens(9));
  second.Fill(Tokens(9));
  EXPECT_EQ(first.blocks()[0], second.blocks()[0]);
  EXPECT_EQ(first.blocks()[1], second.blocks()[1]);
  EXPECT_NE(first.blocks()[2], second.blocks()[2]);
  EXPECT_EQ(pool_.num_free_blocks(), 4);
}

// Sequences come and go at random, over few beginnings and a pool that is always short. The pool's
// content is modelled by what each block was last filled with.
TEST_F(PageTableTest, AHitAlwaysHoldsTheTokensAskedFor) {
  std::mt19937 random(7);
  std::vector<std::vector<int32_t>> content(8);  // per block: all tokens up to its end
  std::vector<std::unique_ptr<PageTable>> tables;
  int hits = 0;
  for (int round = 0; round < 5000; ++round) {
    if (!tables.empty() && random() % 2 == 0) {
      tables.erase(tables.begin() + static_cast<ptrdiff_t>(random() % tables.size()));
    }
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < 1 + random() % 20; ++i) {
      tokens.push_back(static_cast<int32_t>(i % 4 == 3 ? random() % 2 : 0));
    }
    auto pages = std::make_unique<PageTable>(&pool_, tokens);
    for (size_t i = 0; i < pages->blocks().size(); ++i, ++hits) {
      const std::vector<int32_t> expected(tokens.begin(),
                                          tokens.begin() + static_cast<ptrdiff_t>(4 * (i + 1)));
      ASSERT_EQ(content[static_cast<size_t>(pages->blocks()[i])], expected) << "round " << round;
    }
    if (!pages->Extend(static_cast<int64_t>(tokens.size()))) continue;
    const auto cached = static_cast<size_t>(pages->num_tokens());
    for (size_t i = cached; i < tokens.size(); ++i) {
      const auto block = static_cast<size_t>(pages->blocks()[i / 4]);
      content[block].assign(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(i + 1));
    }
    pages->Fill(std::span(tokens).subspan(cached));
    tables.push_back(std::move(pages));
  }
  EXPECT_GT(hits, 1000);
  tables.clear();
  EXPECT_EQ(pool_.num_free_blocks(), 8);
}

}  // namespace
}  // namespace tramontane
