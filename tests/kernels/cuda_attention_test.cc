// Attention at the edges of CUDA's tiles: 64 positions, splits of 256, 16 queries a warp, 64 a
// block.
#include <cmath>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using CudaAttentionTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, CudaAttentionTest, testing::ValuesIn(AllKernels()), KernelsTestName);

AttentionShape Shape(int64_t num_heads, int64_t num_kv_heads, int64_t head_dim, int window) {
  AttentionShape shape;
  shape.num_heads = num_heads;
  shape.num_kv_heads = num_kv_heads;
  shape.head_dim = head_dim;
  shape.cache_dtype = DType::kBF16;
  if (window > 0) shape.window = window;
  return shape;
}

// As in paged_attention_test.cc: scores, then rounding of weights and of their sum.
double Tolerance(const AttentionShape& shape, int64_t num_keys) {
  const auto d = static_cast<double>(shape.head_dim);
  const double score = 4 * d * kEpsilon * 8 * std::sqrt(d);
  return 2 * (2 * score + (64 + 2 * static_cast<double>(num_keys)) * kEpsilon) + 0x1p-8 * 2;
}

TEST_P(CudaAttentionTest, EqualsTheReferenceAtTheEdgesOfTilesAndSplits) {
  for (const int window : {0, 1, 65, 256, 300}) {
    for (const int64_t length : {63, 64, 65, 255, 256, 257, 530}) {
      const AttentionShape shape = Shape(8, 2, 128, window);
      SCOPED_TRACE(testing::Message() << length << " positions, window " << window);
      AttentionCase test(shape, {length});
      const int64_t rows = length < 70 ? length : 21;
      test.Rotate(reference_.get(), {{0, 0, length}});
      test.Rotate(reference_.get(), {{0, length - rows, rows}});
      const std::vector<float> actual = test.Attend(kernels_.get());
      if (compute_dtype() == DType::kBF16) test.RoundQueries();
      const std::vector<float> expected = test.Attend(reference_.get());
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], Tolerance(shape, length)) << "element " << i;
      }
    }
  }
}

// Rows alone are few queries, split over blocks; in chunks of more than 64 queries they are many.
TEST_P(CudaAttentionTest, ARowHasTheSameBitsAmongFewAndManyQueries) {
  constexpr int64_t kLength = 600;
  const int kShapes[][4] = {{4, 1, 128, 0}, {2, 2, 64, 0}, {8, 1, 24, 130}, {20, 1, 64, 300}};
  for (const auto& [num_heads, num_kv_heads, head_dim, window] : kShapes) {
    const AttentionShape shape = Shape(num_heads, num_kv_heads, head_dim, window);
    SCOPED_TRACE(testing::Message() << num_heads << " heads of " << head_dim);
    AttentionCase test(shape, {kLength});
    std::vector<float> whole = test.Run(kernels_.get(), {{0, 0, kLength}});
    const int64_t row_size = shape.num_heads * shape.head_dim;
    for (const int64_t position : {0, 1, 63, 64, 255, 256, 257, 300, 511, 512, 599}) {
      const std::vector<float> alone = test.Run(kernels_.get(), {{0, position, 1}});
      EXPECT_TRUE(SameBits(
          alone, {whole.begin() + position * row_size, whole.begin() + (position + 1) * row_size}))
          << "position " << position;
    }
  }
}

// Decode rows of several sequences beside a chunk, as a step has them.
TEST_P(CudaAttentionTest, AMixedBatchEqualsItsSequencesAlone) {
  const AttentionShape shape = Shape(8, 2, 64, 0);
  const std::vector<int64_t> lengths = {300, 70, 1, 520};
  AttentionCase test(shape, lengths);
  for (size_t s = 0; s < lengths.size(); ++s) {
    test.Rotate(reference_.get(), {{s, 0, lengths[s]}});
  }
  const std::vector<Chunk> chunks = {{3, 519, 1}, {0, 200, 100}, {2, 0, 1}, {1, 60, 10}};
  const std::vector<float> batch = test.Run(kernels_.get(), chunks);
  auto begin = batch.begin();
  for (const Chunk& chunk : chunks) {
    const std::vector<float> alone = test.Run(kernels_.get(), {chunk});
    EXPECT_TRUE(SameBits(alone, {begin, begin + static_cast<int64_t>(alone.size())}))
        << "sequence " << chunk.sequence;
    begin += static_cast<int64_t>(alone.size());
  }
}

}  // namespace
}  // namespace tramontane
