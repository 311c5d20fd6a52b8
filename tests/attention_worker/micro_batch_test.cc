#include "attention_worker/micro_batch.h"

#include <gtest/gtest.h>

#include <vector>

namespace tramontane {
namespace {

class MicroBatchTest : public ::testing::Test {
 protected:
  // A sequence of `num_rows` more rows, from `first_position` on.
  void Append(int first_position, int num_rows) {
    SequenceChunk chunk;
    chunk.first_position = first_position;
    chunk.token_ids.assign(static_cast<size_t>(num_rows), 1);
    batch_.Append(chunk, pages_);
  }

  const std::vector<int32_t> pages_ = {0, 1, 2};
  TokenBatch batch_;
};

TEST_F(MicroBatchTest, OnePartIsTheWholeBatch) {
  Append(0, 3);
  Append(7, 1);
  const std::vector<MicroBatch> parts = CutIntoMicroBatches(batch_, 1);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].first_row, 0);
  EXPECT_EQ(parts[0].num_rows, 4);
  ASSERT_EQ(parts[0].sequences.size(), 2u);
  EXPECT_EQ(parts[0].sequences[1].first_row, 3);
  EXPECT_EQ(parts[0].sequences[1].first_position, 7);
}

TEST_F(MicroBatchTest, ACutSequenceGoesOnAtItsNextPosition) {
  Append(4, 1);
  Append(10, 9);
  const std::vector<MicroBatch> parts = CutIntoMicroBatches(batch_, 2);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].num_rows, 5);
  ASSERT_EQ(parts[0].sequences.size(), 2u);
  EXPECT_EQ(parts[0].sequences[1].num_rows, 4);
  EXPECT_EQ(parts[0].sequences[1].first_position, 10);
  EXPECT_EQ(parts[1].first_row, 5);
  EXPECT_EQ(parts[1].num_rows, 5);
  ASSERT_EQ(parts[1].sequences.size(), 1u);
  EXPECT_EQ(parts[1].sequences[0].first_row, 0);
  EXPECT_EQ(parts[1].sequences[0].num_rows, 5);
  EXPECT_EQ(parts[1].sequences[0].first_position, 14);
  EXPECT_EQ(parts[1].sequences[0].page_table.data(), pages_.data());
}

TEST_F(MicroBatchTest, ThereAreNoEmptyParts) {
  Append(4, 1);
  EXPECT_EQ(CutIntoMicroBatches(batch_, 2).size(), 1u);
}

}  // namespace
}  // namespace tramontane
