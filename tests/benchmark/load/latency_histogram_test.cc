#include "tests/benchmark/load/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace tramontane {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(LatencyHistogramTest, IsZeroWhereThereIsNothing) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5).count(), 0);
  EXPECT_EQ(histogram.Summarize().count, 0);
  EXPECT_EQ(histogram.Summarize().max_ms, 0);
}

TEST(LatencyHistogramTest, OneValueIsEveryPercentileExactly) {
  LatencyHistogram histogram;
  histogram.Add(nanoseconds(123456789));
  const LatencySummary summary = histogram.Summarize();
  EXPECT_EQ(summary.count, 1);
  for (const double value : {summary.mean_ms, summary.min_ms, summary.p50_ms, summary.p90_ms,
                             summary.p95_ms, summary.p99_ms, summary.max_ms}) {
    EXPECT_DOUBLE_EQ(value, 123.456789);
  }
}

TEST(LatencyHistogramTest, PercentilesAreWithinTheStatedErrorOfTheNearestRank) {
  std::mt19937_64 random(7);
  // Nanoseconds to minutes.
  std::lognormal_distribution<double> latency(std::log(5e6), 4);
  LatencyHistogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<int64_t>(latency(random)));
    histogram.Add(nanoseconds(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.0001, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(share * 20000)) - 1;
    const auto exact = static_cast<double>(values[rank]);
    // Half a nanosecond: middles of buckets are whole.
    EXPECT_NEAR(static_cast<double>(histogram.Percentile(share).count()), exact,
                exact * kLatencyRelativeError + 0.5)
        << share;
  }
}

TEST(LatencyHistogramTest, MeanMinAndMaxAreExact) {
  LatencyHistogram histogram;
  for (const int ms : {30, 10, 20}) histogram.Add(milliseconds(ms));
  const LatencySummary summary = histogram.Summarize();
  EXPECT_DOUBLE_EQ(summary.mean_ms, 20);
  EXPECT_DOUBLE_EQ(summary.min_ms, 10);
  EXPECT_DOUBLE_EQ(summary.max_ms, 30);
}

TEST(LatencyHistogramTest, CountsTheSameLatencySeveralTimes) {
  LatencyHistogram histogram;
  histogram.Add(nanoseconds(0), 3);
  histogram.Add(milliseconds(8), 1);
  histogram.Add(milliseconds(9), 0);
  EXPECT_EQ(histogram.count(), 4);
  EXPECT_EQ(histogram.Percentile(0.75).count(), 0);
  EXPECT_DOUBLE_EQ(histogram.Summarize().mean_ms, 2);
  EXPECT_DOUBLE_EQ(histogram.Summarize().max_ms, 8);
}

TEST(LatencyHistogramTest, TakesTheExtremesOfTheClock) {
  LatencyHistogram histogram;
  histogram.Add(nanoseconds(-5));
  histogram.Add(nanoseconds(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(histogram.Percentile(0.5).count(), 0);
  EXPECT_NEAR(static_cast<double>(histogram.Percentile(1).count()),
              static_cast<double>(std::numeric_limits<int64_t>::max()),
              kLatencyRelativeError * static_cast<double>(std::numeric_limits<int64_t>::max()));
}

}  // namespace
}  // namespace tramontane
