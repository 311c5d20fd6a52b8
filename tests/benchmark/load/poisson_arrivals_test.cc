#include "tests/benchmark/load/poisson_arrivals.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tramontane {
namespace {

using std::chrono::nanoseconds;

TEST(PoissonArrivalsTest, GapsHaveTheMeanAndSpreadOfAnExponential) {
  constexpr int kNumArrivals = 40000;
  PoissonArrivals arrivals(50, 3);
  double previous = 0, squares = 0, last = 0;
  for (int i = 0; i < kNumArrivals; ++i) {
    last = std::chrono::duration<double>(arrivals.Next()).count();
    ASSERT_GE(last, previous);
    squares += (last - previous) * (last - previous);
    previous = last;
  }
  const double mean = last / kNumArrivals;
  const double deviation = std::sqrt(squares / kNumArrivals - mean * mean);
  // Five standard errors: 1 / sqrt(n) of the mean, sqrt(2 / n) of an exponential's deviation.
  EXPECT_NEAR(mean, 0.02, 5 * 0.02 / std::sqrt(kNumArrivals));
  EXPECT_NEAR(deviation, 0.02, 5 * 0.02 * std::sqrt(2.0 / kNumArrivals));
}

TEST(PoissonArrivalsTest, CountsOfEqualIntervalsVaryAsMuchAsTheirMean) {
  constexpr int kNumSeconds = 4000;
  PoissonArrivals arrivals(10, 5);
  double sum = 0, squares = 0;
  nanoseconds next = arrivals.Next();
  for (int second = 1; second <= kNumSeconds; ++second) {
    int count = 0;
    for (; next < std::chrono::seconds(second); next = arrivals.Next()) ++count;
    sum += count;
    squares += count * count;
  }
  const double mean = sum / kNumSeconds;
  // Five standard errors of the variance of Poisson counts: sqrt((2 + 1 / mean) / n).
  EXPECT_NEAR((squares / kNumSeconds - mean * mean) / mean, 1, 5 * std::sqrt(2.1 / kNumSeconds));
}

TEST(PoissonArrivalsTest, SameSeedSameArrivalsOtherSeedOthers) {
  PoissonArrivals first(4, 9), same(4, 9), other(4, 10);
  const nanoseconds arrival = first.Next();
  EXPECT_EQ(arrival, same.Next());
  EXPECT_NE(arrival, other.Next());
}

}  // namespace
}  // namespace tramontane
