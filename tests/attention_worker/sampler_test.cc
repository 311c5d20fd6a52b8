#include "attention_worker/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
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
