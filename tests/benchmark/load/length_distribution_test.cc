#include "tests/benchmark/load/length_distribution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace tramontane {
namespace {

using testing::HasSubstr;

constexpr int kNumDraws = 40000;

std::vector<int> Draws(const std::string& text) {
  const absl::StatusOr<LengthDistribution> lengths = LengthDistribution::Parse(text);
  EXPECT_TRUE(lengths.ok()) << lengths.status();
  std::mt19937_64 random(11);
  std::vector<int> drawn;
  for (int i = 0; i < kNumDraws; ++i) drawn.push_back(lengths->Draw(random));
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

double Mean(const std::vector<int>& values) {
  double sum = 0;
  for (const int value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

TEST(LengthDistributionTest, ConstantIsAlwaysTheSame) {
  const std::vector<int> drawn = Draws("constant:17");
  EXPECT_EQ(drawn.front(), 17);
  EXPECT_EQ(drawn.back(), 17);
}

TEST(LengthDistributionTest, UniformReachesBothEndsAndItsMean) {
  const std::vector<int> drawn = Draws("uniform:3:12");
  EXPECT_EQ(std::set<int>(drawn.begin(), drawn.end()).size(), 10);
  EXPECT_EQ(drawn.front(), 3);
  EXPECT_EQ(drawn.back(), 12);
  // Five standard errors of the mean: 5 * sqrt((10^2 - 1) / 12 / 40000).
  EXPECT_NEAR(Mean(drawn), 7.5, 0.072);
}

TEST(LengthDistributionTest, LognormalHasItsMedianAndSpread) {
  const std::vector<int> drawn = Draws("lognormal:400:0.5");
  // Five standard errors of a quantile q: 5 * sqrt(p (1 - p) / n) / density(q), 3.2% of the median
  // and 3.7% of the point one sigma above, plus rounding.
  EXPECT_NEAR(drawn[kNumDraws / 2], 400, 0.032 * 400);
  const double one_sigma_above = 400 * std::exp(0.5);
  EXPECT_NEAR(drawn[static_cast<size_t>(0.841345 * kNumDraws)], one_sigma_above,
              0.037 * one_sigma_above);
  EXPECT_GE(drawn.front(), 1);
}

TEST(LengthDistributionTest, LognormalIsCutToItsMaximum) {
  const std::vector<int> drawn = Draws("lognormal:100:2:150");
  EXPECT_EQ(drawn.back(), 150);
  EXPECT_GE(drawn.front(), 1);
  // The median is below the cut, and stays.
  EXPECT_NEAR(drawn[kNumDraws / 2], 100, 0.13 * 100);
}

TEST(LengthDistributionTest, LongestIsWhatWasTold) {
  EXPECT_EQ(LengthDistribution::Parse("constant:5")->longest(), 5);
  EXPECT_EQ(LengthDistribution::Parse("uniform:5:9")->longest(), 9);
  EXPECT_EQ(LengthDistribution::Parse("lognormal:5:1:70")->longest(), 70);
  EXPECT_EQ(LengthDistribution::Parse("lognormal:5:1")->longest(), std::nullopt);
}

TEST(LengthDistributionTest, WritesWhatItReads) {
  for (const std::string text :
       {"constant:5", "uniform:5:9", "lognormal:5:0.75", "lognormal:5:1:70"}) {
    EXPECT_EQ(LengthDistribution::Parse(text)->ToString(), text);
  }
}

TEST(LengthDistributionTest, RefusesWhatIsNoDistribution) {
  for (const std::string text :
       {"", "17", "constant", "constant:0", "constant:x", "constant:5:6", "uniform:5",
        "uniform:9:5", "uniform:0:5", "lognormal:5", "lognormal:5:0", "lognormal:5:nan",
        "lognormal:5:1:0", "lognormal:5:1:9:9", "normal:5:1", "constant:1048577"}) {
    const absl::StatusOr<LengthDistribution> lengths = LengthDistribution::Parse(text);
    EXPECT_TRUE(absl::IsInvalidArgument(lengths.status())) << text;
    EXPECT_THAT(std::string(lengths.status().message()), HasSubstr("expected constant:N")) << text;
  }
}

}  // namespace
}  // namespace tramontane
