#include "kernels/paged_attention.h"

#include <cmath>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/cpu_backend_test.h"

namespace tramontane {
namespace {

using PagedAttentionTest = CpuBackendTest;
INSTANTIATE_TEST_SUITE_P(, PagedAttentionTest, testing::ValuesIn(CpuCases()), CpuTestName);

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
    ExpectEqualsReference(cpu_.get(), reference_.get(), shape);
  }
}

TEST_P(PagedAttentionTest, EqualsTheReferenceWithASlidingWindow) {
  for (const int window : {1, 2, 8, 15, 16, 17, 33, 200}) {
    AttentionShape shape;
    shape.window = window;
    ExpectEqualsReference(cpu_.get(), reference_.get(), shape);
  }
}

// The cache of one is made by the other's rotation, whose last bit may differ; so both read the
// same bf16 cache only where positions and values make the rotation exact: position 0.
TEST_P(PagedAttentionTest, ReadsABf16Cache) {
  AttentionShape shape;
  shape.cache_dtype = DType::kBF16;
  const std::vector<Chunk> chunks = {{0, 0, 1}};
  AttentionCase test(shape, {1});
  const std::vector<float> actual = test.Run(cpu_.get(), chunks);
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
  std::vector<float> exact = AttentionCase(shape, {40}).Run(cpu_.get(), chunks);
  for (float& value : exact) value = ToFloat(ToBFloat16(value));
  EXPECT_TRUE(SameBits(AttentionCase(shape, {40}).Run(cpu_.get(), chunks, DType::kBF16), exact));
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
      const std::vector<float> whole = RunInChunks(cpu_.get(), shape, kLength, {kLength});
      for (const std::vector<int64_t>& cuts : {one_by_one,
                                               {1, kLength},
                                               {16, 32, kLength},
                                               {7, 40, 41, 97, kLength},
                                               {149, kLength}}) {
        EXPECT_TRUE(SameBits(RunInChunks(cpu_.get(), shape, kLength, cuts), whole))
            << cuts.size() << " chunks, window " << window.value_or(0);
      }
    }
  }
}

TEST_P(PagedAttentionTest, AnyBlockSizeGivesTheSameBits) {
  AttentionShape shape;
  const std::vector<float> expected = RunInChunks(cpu_.get(), shape, 100, {100});
  for (const int64_t block_size : {32, 48, 64, 128}) {
    shape.block_size = block_size;
    EXPECT_TRUE(SameBits(RunInChunks(cpu_.get(), shape, 100, {30, 100}), expected)) << block_size;
  }
}

TEST_P(PagedAttentionTest, ASequenceHasTheSameBitsInEveryBatch) {
  AttentionShape shape;
  const std::vector<int64_t> lengths = {70, 3, 40};
  AttentionCase together(shape, lengths);
  const std::vector<float> batch = together.Run(cpu_.get(), {{2, 0, 40}, {0, 0, 70}, {1, 0, 3}});
  AttentionCase alone(shape, lengths);
  const std::vector<float> rows = alone.Run(cpu_.get(), {{0, 0, 70}});
  const int64_t row_size = shape.num_heads * shape.head_dim;
  EXPECT_TRUE(SameBits(rows, {batch.begin() + 40 * row_size, batch.begin() + 110 * row_size}));
}

}  // namespace
}  // namespace tramontane
