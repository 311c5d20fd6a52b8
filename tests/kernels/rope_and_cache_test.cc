#include "kernels/rope_and_cache.h"

#include <cmath>

#include "kernels/rotary_angles.h"
#include "tests/kernels/attention_case.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using RopeAndCacheTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, RopeAndCacheTest, testing::ValuesIn(AllKernels()), KernelsTestName);

TEST_P(RopeAndCacheTest, EqualsTheReferenceForEveryHeadSize) {
  for (const int64_t head_dim : {2, 24, 32, 34, 64, 128}) {
    AttentionShape shape;
    shape.head_dim = head_dim;
    const std::vector<Chunk> chunks = {{1, 0, 3}, {0, 0, 20}};
    AttentionCase actual(shape, {20, 3}), expected(shape, {20, 3});
    actual.Run(kernels_.get(), chunks);
    expected.Run(reference_.get(), chunks);
    ASSERT_EQ(actual.qkv().size(), expected.qkv().size());
    // Two products of at most 2 and their sum, with the same angles.
    for (size_t i = 0; i < actual.qkv().size(); ++i) {
      ASSERT_NEAR(actual.qkv()[i], expected.qkv()[i], 16 * kEpsilon) << "element " << i;
    }
  }
}

TEST_P(RopeAndCacheTest, CachesRotatedKeysAndValuesRoundedToTheCachesDtype) {
  AttentionShape shape;
  shape.cache_dtype = DType::kBF16;
  AttentionCase test(shape, {40});
  test.Run(kernels_.get(), {{0, 0, 40}});
  const int64_t key_size = shape.num_kv_heads * shape.head_dim;
  for (int64_t p = 0; p < 40; ++p) {
    const float* k = test.qkv().data() + p * shape.qkv_size() + shape.num_heads * shape.head_dim;
    std::vector<float> keys(k, k + key_size), values(k + key_size, k + 2 * key_size);
    for (float& key : keys) key = ToFloat(ToBFloat16(key));
    for (float& value : values) value = ToFloat(ToBFloat16(value));
    EXPECT_TRUE(SameBits(test.Cached(true, 0, p), keys)) << "position " << p;
    EXPECT_TRUE(SameBits(test.Cached(false, 0, p), values)) << "position " << p;
  }
}

TEST_P(RopeAndCacheTest, ARowHasTheSameBitsInEveryBatch) {
  AttentionShape shape;
  AttentionCase whole(shape, {50});
  whole.Run(kernels_.get(), {{0, 0, 50}});
  const std::vector<float> all = whole.qkv();
  for (int64_t p = 0; p < 50; ++p) {
    whole.Run(kernels_.get(), {{0, p, 1}});
    EXPECT_TRUE(SameBits(whole.qkv(), {all.begin() + p * shape.qkv_size(),
                                       all.begin() + (p + 1) * shape.qkv_size()}))
        << "position " << p;
  }
}

TEST_P(RopeAndCacheTest, ARowHasTheSameBitsAmongVeryMany) {
  AttentionShape shape;
  shape.window = 16;
  AttentionCase whole(shape, {300});
  whole.Run(kernels_.get(), {{0, 0, 300}});
  const std::vector<float> all = whole.qkv();
  for (const int64_t p : {0, 1, 130, 299}) {
    whole.Run(kernels_.get(), {{0, p, 1}});
    EXPECT_TRUE(SameBits(whole.qkv(), {all.begin() + p * shape.qkv_size(),
                                       all.begin() + (p + 1) * shape.qkv_size()}))
        << "position " << p;
  }
}

// theta^(-2i/d) in float32: within a few roundings of the exact value.
TEST(RotaryAnglesTest, FrequenciesFallFromOneByThePowersOfTheta) {
  const std::vector<float> frequencies = InverseFrequencies(1e6, 128);
  ASSERT_EQ(frequencies.size(), 64u);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double expected = std::pow(1e6, -static_cast<double>(2 * i) / 128);
    // The float32 exponent's rounding is multiplied by ln(theta), 14.
    EXPECT_NEAR(frequencies[i], expected, 20 * kEpsilon * expected) << "frequency " << i;
  }
}

TEST(RotaryAnglesTest, AngleIsThePositionTimesTheFrequencyInFloat32) {
  const std::vector<float> frequencies = InverseFrequencies(1e4, 24);
  std::vector<float> cosines = Poisoned(12), sines = Poisoned(12);
  RotaryAngles(frequencies, 32767, cosines.data(), sines.data());
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = 32767.0f * frequencies[i];
    EXPECT_NEAR(cosines[i], std::cos(angle), 2 * kEpsilon) << i;
    EXPECT_NEAR(sines[i], std::sin(angle), 2 * kEpsilon) << i;
  }
}

}  // namespace
}  // namespace tramontane
