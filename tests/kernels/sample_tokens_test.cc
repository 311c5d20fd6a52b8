#include "kernels/sample_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/sampling_weight.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using SampleTokensTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, SampleTokensTest, testing::ValuesIn(AllKernels()), KernelsTestName);

std::vector<int32_t> Sample(Backend* backend, const std::vector<float>& rows,
                            const std::vector<TokenSampling>& sampling) {
  const auto num_rows = static_cast<int64_t>(sampling.size());
  std::vector<int32_t> ids(sampling.size(), -7);
  backend->SampleTokens({.rows = rows.data(),
                         .sampling = sampling.data(),
                         .ids = ids.data(),
                         .num_rows = num_rows,
                         .num_columns = static_cast<int64_t>(rows.size()) / num_rows});
  return ids;
}

// What the contract says, as directly as it can be said.
int32_t Expected(const std::vector<float>& row, const TokenSampling& sampling) {
  std::vector<int32_t> order(row.size());
  for (size_t i = 0; i < row.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return row[a] > row[b]; });
  if (sampling.temperature == 0.0f) return order[0];
  const auto weight = [&, greatest = row[order[0]]](int32_t id) {
    return SamplingWeight(row[id], greatest, sampling.temperature);
  };
  if (sampling.top_k > 0 && static_cast<size_t>(sampling.top_k) < order.size()) {
    order.resize(static_cast<size_t>(sampling.top_k));
  }
  if (sampling.top_p < 1.0f) {
    uint64_t total = 0;
    for (const int32_t id : order) total += weight(id);
    uint64_t reached = 0;
    size_t count = 0;
    while (reached < TopPWeight(total, sampling.top_p)) reached += weight(order[count++]);
    order.resize(count);
  }
  if (sampling.min_p > 0.0f) {
    std::erase_if(order, [&](int32_t id) { return weight(id) < MinPWeight(sampling.min_p); });
  }
  std::sort(order.begin(), order.end());
  unsigned __int128 total = 0;
  for (const int32_t id : order) total += weight(id);
  auto unit = static_cast<uint64_t>(total * sampling.random >> 53);
  for (const int32_t id : order) {
    if (unit < weight(id)) return id;
    unit -= weight(id);
  }
  return -2;
}

constexpr uint64_t kRandomBits = uint64_t{1} << 53;

std::vector<TokenSampling> AllKinds(std::mt19937_64* random, int64_t num_columns) {
  std::vector<TokenSampling> kinds;
  const auto n = static_cast<int32_t>(num_columns);
  for (const float temperature : {0.0f, 0.05f, 0.7f, 1.0f, 30.0f}) {
    for (const int32_t top_k : {0, 1, 2, 40, n - 1, n, n + 1}) {
      for (const float top_p : {1.0f, 0.999f, 0.9f, 0.3f, 1e-9f}) {
        for (const float min_p : {0.0f, 0.1f, 1.0f}) {
          kinds.push_back(
              {(*random)() % kRandomBits, temperature, std::max(top_k, 0), top_p, min_p});
        }
      }
    }
  }
  std::shuffle(kinds.begin(), kinds.end(), *random);
  return kinds;
}

// Logits as of a model, with equals among them, and extremes of the random number.
TEST_P(SampleTokensTest, DrawsTheTokenOfTheContract) {
  std::mt19937_64 random(11);
  for (const int64_t n : {1, 2, 31, 1023, 1025, 4100}) {
    SCOPED_TRACE(testing::Message() << n << " columns");
    std::vector<TokenSampling> kinds = AllKinds(&random, n);
    kinds.resize(static_cast<size_t>(n > 2000 ? 12 : 60));
    kinds[0] = {0, 1.0f};
    kinds[1] = {kRandomBits - 1, 1.0f};
    kinds[2] = {random() % kRandomBits, 0.7f, 40, 0.9f, 0.01f};
    kinds[3] = {random() % kRandomBits, 1.0f, 0, 0.999f, 0.0f};
    std::normal_distribution<float> logit(0.0f, 3.0f);
    std::vector<float> rows;
    for (int64_t i = 0; i < n * static_cast<int64_t>(kinds.size()); ++i) {
      rows.push_back(std::round(logit(random) * 16) / 16);
    }
    const std::vector<int32_t> ids = Sample(kernels_.get(), rows, kinds);
    for (size_t r = 0; r < kinds.size(); ++r) {
      const std::vector<float> row(rows.begin() + static_cast<int64_t>(r) * n,
                                   rows.begin() + static_cast<int64_t>(r + 1) * n);
      ASSERT_EQ(ids[r], Expected(row, kinds[r]))
          << "row " << r << ": temperature " << kinds[r].temperature << ", top-k " << kinds[r].top_k
          << ", top-p " << kinds[r].top_p << ", min-p " << kinds[r].min_p;
    }
  }
}

TEST_P(SampleTokensTest, EqualAndExtremeLogits) {
  constexpr float kMax = std::numeric_limits<float>::max();
  std::vector<float> mixed(600, -kMax), zeros(600, 0.0f);
  for (size_t i = 0; i < 600; i += 7) mixed[i] = kMax;
  for (size_t i = 0; i < 600; i += 2) zeros[i] = -0.0f;
  std::mt19937_64 random(5);
  for (const std::vector<float>& row :
       {std::vector<float>(600, 0.25f), std::vector<float>(600, -0.0f), mixed, zeros}) {
    for (const TokenSampling sampling :
         {TokenSampling{random() % kRandomBits, 1.0f, 5},
          TokenSampling{random() % kRandomBits, 1.0f, 0, 0.5f},
          TokenSampling{random() % kRandomBits, 1e-30f},
          TokenSampling{random() % kRandomBits, 3.0f, 0, 1.0f, 1.0f}}) {
      EXPECT_EQ(Sample(kernels_.get(), row, {sampling})[0], Expected(row, sampling));
    }
  }
}

TEST_P(SampleTokensTest, ARowThatIsNotFiniteHasNone) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> rows(2600, 1.0f);
    rows[1300 + 1299] = bad;
    const std::vector<int32_t> ids = Sample(kernels_.get(), rows, {{0, 1.0f}, {0, 1.0f}});
    EXPECT_EQ(ids[0], 0);
    EXPECT_EQ(ids[1], -1) << bad;
  }
}

// exp in integers, beside that of the library.
TEST(SamplingWeightTest, IsTheExponential) {
  EXPECT_EQ(SamplingWeight(3.0f, 3.0f, 0.5f), kWeightOfGreatest);
  for (float x = 0.0f; x > -27.0f; x -= 0.0371f) {
    const double expected = std::exp(double{x}) * static_cast<double>(kWeightOfGreatest);
    // 2^-22 of itself and a unit that is cut off.
    EXPECT_NEAR(static_cast<double>(SamplingWeight(x, 0.0f, 1.0f)), expected,
                expected * 0x1.0p-22 + 1)
        << x;
  }
  EXPECT_EQ(SamplingWeight(-29.0f, 0.0f, 1.0f), 0u);
  EXPECT_EQ(
      SamplingWeight(-std::numeric_limits<float>::max(), std::numeric_limits<float>::max(), 1.0f),
      0u);
}

TEST(SamplingWeightTest, AUnitIsDrawnExactly) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t total = (random() >> (1 + i % 40)) + 1, bits = random() % kRandomBits;
    EXPECT_EQ(DrawnUnit(total, bits),
              static_cast<uint64_t>(static_cast<unsigned __int128>(total) * bits >> 53));
  }
  EXPECT_EQ(DrawnUnit(1, kRandomBits - 1), 0u);
}

}  // namespace
}  // namespace tramontane
