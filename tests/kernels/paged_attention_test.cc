#include "kernels/paged_attention.h"

#include <algorithm>
#include <cmath>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using PagedAttentionTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, PagedAttentionTest, testing::ValuesIn(AllKernels()), KernelsTestName);

// A score is a sum of head_dim products over sqrt(head_dim). Queries and keys lie in [-2, 2], at
// most 2 sqrt(2) after rotation, so that the magnitudes of its terms sum to at most
// 8 sqrt(head_dim) and two computations differ by 4 head_dim kEpsilon of that. Where rounding to a
// bf16 cache falls the other way, a term moves by a step of it. A weight moves by twice what scores
// do, relative to itself; values are at most 2; 64 operations of kEpsilon for exp and the sums.
double Tolerance(const AttentionShape& shape, int64_t num_keys) {
  const auto d = static_cast<double>(shape.head_dim);
  const double score = 4 * d * kEpsilon * 8 * std::sqrt(d);
  return 2 * (2 * score + (64 + 2 * static_cast<double>(num_keys)) * kEpsilon);
}

void ExpectEqualsReference(Backend* cpu, Backend* reference, const AttentionShape& shape) {
  SCOPED_TRACE(testing::Message() << shape.num_heads << " heads, " << shape.num_kv_heads
                                  << " KV heads of " << shape.head_dim << ", window "
                                  << shape.window.value_or(0));
  const std::vector<int64_t> lengths = {1, 15, 16, 17, 33, 81};
  std::vector<Chunk> chunks;
  for (size_t s = 0; s < lengths.size(); ++s) chunks.push_back({s, 0, lengths[s]});
  const auto actual = AttentionCase(shape, lengths).Run(cpu, chunks);
  const auto expected = AttentionCase(shape, lengths).Run(reference, chunks);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], Tolerance(shape, 81)) << "element " << i;
  }
}

TEST_P(PagedAttentionTest, EqualsTheReference) {
  const int64_t kHeads[][3] = {{1, 1, 64}, {4, 1, 24}, {6, 3, 24},  {8, 2, 32},
                               {5, 5, 16}, {9, 1, 8},  {4, 2, 128}, {3, 1, 80}};
  for (const auto& [num_heads, num_kv_heads, head_dim] : kHeads) {
    AttentionShape shape;
    shape.num_heads = num_heads;
    shape.num_kv_heads = num_kv_heads;
    shape.head_dim = head_dim;
    ExpectEqualsReference(kernels_.get(), reference_.get(), shape);
  }
}

TEST_P(PagedAttentionTest, EqualsTheReferenceWithASlidingWindow) {
  for (const int window : {1, 2, 8, 15, 16, 17, 33, 200}) {
    AttentionShape shape;
    shape.window = window;
    ExpectEqualsReference(kernels_.get(), reference_.get(), shape);
  }
}

// Whether products of a bf16 cache are of bf16 (docs/numerics.md).
bool RoundsQueriesAndWeights(std::string_view kernels, int64_t head_dim) {
  return kernels == "cpu-avx512_bf16" ||
         (kernels.starts_with("cuda-") && !kernels.ends_with("-f32") && head_dim % 8 == 0 &&
          head_dim <= 128);
}

// Both attend over the cache that the reference made. Where products are of bf16, queries are
// rounded to it, which the reference is given, and weights: each by at most 2^-9 of itself, and
// with CUDA so is their sum. So their weighted mean of values, which are at most 2, moves by at
// most 2^-8 times 2.
TEST_P(PagedAttentionTest, EqualsTheReferenceOverABf16Cache) {
  const std::vector<int64_t> lengths = {1, 15, 17, 63, 64, 65, 130, 200};
  std::vector<Chunk> chunks;
  for (size_t s = 0; s < lengths.size(); ++s) chunks.push_back({s, 0, lengths[s]});
  const int kShapes[][4] = {{1, 1, 64, 0},  {4, 1, 24, 0},  {6, 3, 24, 70},  {5, 5, 16, 1},
                            {9, 1, 8, 15},  {4, 2, 128, 0}, {3, 1, 80, 64},  {8, 2, 32, 63},
                            {8, 2, 32, 65}, {7, 1, 48, 16}, {2, 1, 256, 129}};
  for (const auto& [num_heads, num_kv_heads, head_dim, window] : kShapes) {
    SCOPED_TRACE(testing::Message() << num_heads << " heads of " << head_dim << ", " << window);
    AttentionShape shape;
    shape.num_heads = num_heads;
    shape.num_kv_heads = num_kv_heads;
    shape.head_dim = head_dim;
    shape.cache_dtype = DType::kBF16;
    if (window > 0) shape.window = window;
    AttentionCase test(shape, lengths);
    test.Rotate(reference_.get(), chunks);
    const std::vector<float> actual = test.Attend(kernels_.get());
    const bool rounds = RoundsQueriesAndWeights(kernels_->name(), head_dim);
    if (rounds) test.RoundQueries();
    const std::vector<float> expected = test.Attend(reference_.get());
    const double tolerance = Tolerance(shape, 200) + (rounds ? 0x1p-8 * 2 : 0);
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance) << "element " << i;
    }
  }
}

// The cache of one is made by the other's rotation, whose last bit may differ; so both read the
// same bf16 cache only where positions and values make the rotation exact: position 0.
TEST_P(PagedAttentionTest, ReadsABf16Cache) {
  AttentionShape shape;
  shape.cache_dtype = DType::kBF16;
  const std::vector<Chunk> chunks = {{0, 0, 1}};
  AttentionCase test(shape, {1});
  const std::vector<float> actual = test.Run(kernels_.get(), chunks);
  const std::vector<float> values = test.Cached(false, 0, 0);
  // With one key, attention is that key's value, for each head of the group.
  for (size_t i = 0; i < actual.size(); ++i) {
    const size_t head = i / 32;
    EXPECT_EQ(actual[i], values[head / 2 * 32 + i % 32]) << "element " << i;
  }
}

TEST_P(PagedAttentionTest, RoundsItsOutputOnce) {
  AttentionShape shape;
  const std::vector<Chunk> chunks = {{0, 0, 40}};
  std::vector<float> exact = AttentionCase(shape, {40}).Run(kernels_.get(), chunks);
  for (float& value : exact) value = ToFloat(ToBFloat16(value));
  EXPECT_TRUE(
      SameBits(AttentionCase(shape, {40}).Run(kernels_.get(), chunks, DType::kBF16), exact));
}

// The rows of one sequence of `length`, computed in batches that end at each of `cuts`.
std::vector<float> RunInChunks(Backend* backend, const AttentionShape& shape, int64_t length,
                               const std::vector<int64_t>& cuts) {
  AttentionCase test(shape, {length});
  std::vector<float> all;
  int64_t begin = 0;
  for (const int64_t end : cuts) {
    const std::vector<float> rows = test.Run(backend, {{0, begin, end - begin}});
    all.insert(all.end(), rows.begin(), rows.end());
    begin = end;
  }
  return all;
}

TEST_P(PagedAttentionTest, AnyCutOfAPromptGivesTheSameBits) {
  constexpr int64_t kLength = 150;
  std::vector<int64_t> one_by_one;
  for (int64_t p = 1; p <= kLength; ++p) one_by_one.push_back(p);
  for (const std::optional<int> window : {std::optional<int>(), std::optional<int>(23)}) {
    for (const DType cache_dtype : {DType::kF32, DType::kBF16}) {
      AttentionShape shape;
      shape.num_heads = 6;
      shape.window = window;
      shape.cache_dtype = cache_dtype;
      const std::vector<float> whole = RunInChunks(kernels_.get(), shape, kLength, {kLength});
      for (const std::vector<int64_t>& cuts : {one_by_one,
                                               {1, kLength},
                                               {16, 32, kLength},
                                               {7, 40, 41, 97, kLength},
                                               {149, kLength}}) {
        EXPECT_TRUE(SameBits(RunInChunks(kernels_.get(), shape, kLength, cuts), whole))
            << cuts.size() << " chunks, window " << window.value_or(0);
      }
    }
  }
}

TEST_P(PagedAttentionTest, AnyCutGivesTheSameBitsForAnyHeads) {
  constexpr int64_t kLength = 150;
  const int kShapes[][4] = {{1, 1, 24, 0}, {4, 1, 80, 0}, {5, 1, 64, 50}, {4, 2, 128, 66}};
  for (const auto& [num_heads, num_kv_heads, head_dim, window] : kShapes) {
    AttentionShape shape;
    shape.num_heads = num_heads;
    shape.num_kv_heads = num_kv_heads;
    shape.head_dim = head_dim;
    shape.cache_dtype = compute_dtype();
    if (window > 0) shape.window = window;
    const std::vector<float> whole = RunInChunks(kernels_.get(), shape, kLength, {kLength});
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 2, 3, 5, 18, kLength},
                                             {63, 64, 65, 127, 128, 129, kLength},
                                             {50, 67, 68, 69, 149, kLength}}) {
      EXPECT_TRUE(SameBits(RunInChunks(kernels_.get(), shape, kLength, cuts), whole))
          << num_heads << " heads of " << head_dim << ", " << cuts.size() << " chunks";
    }
  }
}

// What row 64 adds up is -0: its key outweighs all keys before it by e^-100, which takes their -1
// to -0, and its value is -0. That must not depend on whether the next row, which it does not see,
// is in the batch.
TEST_P(PagedAttentionTest, ARowOfZerosHasTheSameBitsBesideALaterRow) {
  constexpr int64_t kHeadDim = 16, kPositions = 66;
  std::vector<float> key_elements(80 * kHeadDim, 0.0f), value_elements(80 * kHeadDim, -1.0f);
  std::fill_n(&key_elements[64 * kHeadDim], kHeadDim, 5.0f);
  std::fill_n(&value_elements[64 * kHeadDim], kHeadDim, -0.0f);
  TestTensor keys = MakeTensor(key_elements, {80, kHeadDim}, compute_dtype());
  TestTensor values = MakeTensor(value_elements, {80, kHeadDim}, compute_dtype());
  const std::vector<int32_t> page_table = {0, 1, 2, 3, 4};
  const std::vector<float> qkv(2 * 3 * kHeadDim, 5.0f);
  std::vector<std::vector<float>> outputs;
  for (const int64_t num_rows : {1, 2}) {
    std::vector<float>& output = outputs.emplace_back(num_rows * kHeadDim);
    const SequenceRows sequence{0, num_rows, kPositions - 2, page_table};
    PagedAttentionArgs args;
    args.qkv = qkv.data();
    args.num_heads = 1;
    args.cache = {keys.bytes.data(), values.bytes.data(), compute_dtype(), 1, kHeadDim, 16};
    args.sequences = {&sequence, 1};
    args.num_tokens = num_rows;
    args.output = output.data();
    kernels_->PagedAttention(args);
    output.resize(kHeadDim);
  }
  EXPECT_TRUE(SameBits(outputs[0], outputs[1]));
}

TEST_P(PagedAttentionTest, AnyBlockSizeGivesTheSameBits) {
  AttentionShape shape;
  shape.cache_dtype = compute_dtype();
  const std::vector<float> expected = RunInChunks(kernels_.get(), shape, 100, {100});
  for (const int64_t block_size : {32, 48, 64, 128}) {
    shape.block_size = block_size;
    EXPECT_TRUE(SameBits(RunInChunks(kernels_.get(), shape, 100, {30, 100}), expected))
        << block_size;
  }
}

TEST_P(PagedAttentionTest, ASequenceHasTheSameBitsInEveryBatch) {
  AttentionShape shape;
  shape.cache_dtype = compute_dtype();
  const std::vector<int64_t> lengths = {70, 3, 40};
  AttentionCase together(shape, lengths);
  const std::vector<float> batch =
      together.Run(kernels_.get(), {{2, 0, 40}, {0, 0, 70}, {1, 0, 3}});
  AttentionCase alone(shape, lengths);
  const std::vector<float> rows = alone.Run(kernels_.get(), {{0, 0, 70}});
  const int64_t row_size = shape.num_heads * shape.head_dim;
  EXPECT_TRUE(SameBits(rows, {batch.begin() + 40 * row_size, batch.begin() + 110 * row_size}));
}

}  // namespace
}  // namespace tramontane
