#include "attention_worker/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0.0f;
  return params;
}

int32_t SampleOne(const std::vector<float>& logits, const SamplingParams& params,
                  const std::vector<int32_t>& seen = {}) {
  return Sampler(static_cast<int>(logits.size())).Sample(logits, params, seen, 1);
}

// How often each token comes at positions 0 … count-1.
std::map<int32_t, int> Histogram(const std::vector<float>& logits, const SamplingParams& params,
                                 int count) {
  Sampler sampler(static_cast<int>(logits.size()));
  std::map<int32_t, int> histogram;
  for (int position = 0; position < count; ++position) {
    ++histogram[sampler.Sample(logits, params, {}, position)];
  }
  return histogram;
}

std::set<int32_t> Support(const std::vector<float>& logits, const SamplingParams& params) {
  std::set<int32_t> support;
  for (const auto& [id, count] : Histogram(logits, params, 2000)) support.insert(id);
  return support;
}

TEST(SamplerTest, GreedyTakesTheGreatest) { EXPECT_EQ(SampleOne({0.5f, 3.0f, 2.0f}, Greedy()), 1); }

TEST(SamplerTest, GreedyTakesTheLowerIdOfEquals) {
  EXPECT_EQ(SampleOne({0.0f, 2.0f, 2.0f}, Greedy()), 1);
}

TEST(SamplerTest, APenaltyThatOverflowsLeavesTheTokenTheLikeliest) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.repetition_penalty = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(SampleOne({3.0f, 2.0f, 1.0f}, params, {1}), 1);
  params.top_p = 0.5f;
  params.min_p = 0.1f;
  EXPECT_EQ(SampleOne({3.0f, 2.0f, 1.0f}, params, {1}), 1);
}

TEST(SamplerTest, ABiasThatOverflowsLeavesTheTokenTheLikeliest) {
  SamplingParams params;
  params.temperature = 1.0f;
  params.logit_bias = {{2, std::numeric_limits<float>::max()},
                       {2, std::numeric_limits<float>::max()}};
  EXPECT_EQ(SampleOne({3.0f, 2.0f, 1.0f}, params), 2);
}

TEST(SamplerTest, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingParams params = Greedy();
  params.repetition_penalty = 2.0f;
  EXPECT_EQ(SampleOne({3.0f, 2.0f}, params, {0}), 1);    // 1.5 < 2
  EXPECT_EQ(SampleOne({-1.0f, -1.5f}, params, {0}), 1);  // -2 < -1.5
  EXPECT_EQ(SampleOne({5.0f, 2.0f}, params, {0}), 0);    // 2.5 > 2
}

TEST(SamplerTest, LogitBiasIsAddedAfterThePenalty) {
  SamplingParams params = Greedy();
  params.repetition_penalty = 2.0f;
  params.logit_bias = {{0, 1.0f}};
  EXPECT_EQ(SampleOne({4.0f, 2.75f}, params, {0}), 0);  // 4 / 2 + 1 = 3, not (4 + 1) / 2 = 2.5
}

TEST(SamplerTest, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  SamplingParams params;
  params.temperature = 0.5f;
  const std::vector<float> logits = {1.0f, 0.5f, 0.0f};
  constexpr int kCount = 20'000;
  const std::map<int32_t, int> histogram = Histogram(logits, params, kCount);
  double total = 0.0;
  for (const float logit : logits) total += std::exp(logit / 0.5);
  for (int32_t id = 0; id < 3; ++id) {
    const double p = std::exp(logits[id] / 0.5) / total;
    // Five standard deviations of a binomial count.
    EXPECT_NEAR(histogram.at(id), kCount * p, 5 * std::sqrt(kCount * p * (1 - p)));
  }
}

TEST(SamplerTest, TopKKeepsTheLikeliest) {
  SamplingParams params;
  params.top_k = 2;
  EXPECT_THAT(Support({0.0f, 0.3f, 0.1f, 0.2f}, params), UnorderedElementsAre(1, 3));
}

TEST(SamplerTest, TopKKeepsTheLowerIdsOfEquals) {
  SamplingParams params;
  params.top_k = 2;
  EXPECT_THAT(Support({1.0f, 1.0f, 1.0f, 1.0f}, params), ElementsAre(0, 1));
}

TEST(SamplerTest, TopPKeepsTheTokenThatReachesIt) {
  SamplingParams params;
  params.top_p = 0.7f;
  // 0.5, 0.3, 0.2: the first two reach 0.7.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  EXPECT_THAT(Support(logits, params), ElementsAre(1, 2));
}

TEST(SamplerTest, TopPOfAlmostNothingIsGreedy) {
  SamplingParams params;
  params.top_p = 1e-6f;
  EXPECT_THAT(Support({0.0f, 0.1f, 0.05f}, params), ElementsAre(1));
}

TEST(SamplerTest, TopPReachesBeyondTheFirstSortedCandidates) {
  SamplingParams params;
  params.top_p = 0.5f;
  const std::vector<float> logits(400, 0.0f);
  for (const int32_t id : Support(logits, params)) EXPECT_LT(id, 200);
  EXPECT_GT(Support(logits, params).size(), 190u);  // 2000 draws leave few of 200 out
}

// Against sorting everything, over flat and peaked distributions with equals among them. Which ones
// top-p keeps shows in the greatest and the smallest uniform number that lead to a token; here in
// the support of many draws.
TEST(SamplerTest, TopPKeepsWhatSortingKeeps) {
  std::mt19937 random(3);
  for (const double spread : {0.1, 1.0, 4.0}) {
    std::normal_distribution<double> normal(0.0, spread);
    std::vector<float> logits(300);
    for (float& logit : logits) logit = static_cast<float>(std::round(4 * normal(random)) / 4);
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    double total = 0.0;
    for (const float logit : logits) total += std::exp(logit);
    for (const float top_p : {0.2f, 0.5f, 0.9f}) {
      std::set<int32_t> kept;
      double weight = 0.0;
      for (const int32_t id : order) {
        kept.insert(id);
        weight += std::exp(logits[id]);
        if (weight >= top_p * total) break;
      }
      SamplingParams params;
      params.top_p = top_p;
      const std::set<int32_t> support = Support(logits, params);
      EXPECT_TRUE(std::includes(kept.begin(), kept.end(), support.begin(), support.end()))
          << spread << " " << top_p;
      // The last one that belongs to it is drawn where its weight makes it likely enough.
      const int32_t last = *std::max_element(kept.begin(), kept.end(), [&](int32_t a, int32_t b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
      });
      const double expected_draws = 2000 * std::exp(logits[last]) / weight;
      if (expected_draws > 12) {
        EXPECT_EQ(support.count(last), 1u) << spread << " " << top_p;
      }
    }
  }
}

TEST(SamplerTest, MinPIsRelativeToTheLikeliest) {
  SamplingParams params;
  params.min_p = 0.5f;
  // 0.5, 0.3, 0.2 of a maximum of 0.5: those from 0.25 on.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  EXPECT_THAT(Support(logits, params), ElementsAre(1, 2));
}

TEST(SamplerTest, TopPCountsWhatTopKLeft) {
  SamplingParams params;
  params.top_k = 2;
  params.top_p = 0.6f;
  // Of 0.5 and 0.3, 0.5 is 0.625 of what top-k left.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  EXPECT_THAT(Support(logits, params), ElementsAre(1));
}

TEST(SamplerTest, SameSeedAndPositionGiveTheSameToken) {
  const std::vector<float> logits(1000, 0.0f);
  SamplingParams params;
  params.seed = 99;
  Sampler used(1000);
  for (int position = 0; position < 50; ++position) {
    Sampler fresh(1000);
    EXPECT_EQ(used.Sample(logits, params, {}, position),
              fresh.Sample(logits, params, {}, position));
  }
}

TEST(SamplerTest, AVeryLowTemperatureIsGreedy) {
  SamplingParams params;
  params.temperature = 1e-30f;
  EXPECT_THAT(Support({0.0f, 0.1f, 0.05f}, params), ElementsAre(1));
}

}  // namespace
}  // namespace tramontane
