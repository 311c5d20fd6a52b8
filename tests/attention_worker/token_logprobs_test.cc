#include "attention_worker/token_logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

TEST(TokenLogprobsTest, IsTheLogarithmOfTheSoftmax) {
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  TokenLogprobs logprobs(3);
  logprobs.SetRow(logits);
  // The logits are rounded to float32: 2^-24 relative of at most 1.6, and the result again.
  EXPECT_NEAR(logprobs.Of(1, 0).logprob, std::log(0.25), 5e-7);
  EXPECT_THAT(logprobs.Of(1, 0).top, IsEmpty());
}

TEST(TokenLogprobsTest, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits = {30'000.0f, 30'000.0f, -30'000.0f};
  TokenLogprobs logprobs(3);
  logprobs.SetRow(logits);
  EXPECT_FLOAT_EQ(logprobs.Of(0, 0).logprob, std::log(0.5f));
  EXPECT_FLOAT_EQ(logprobs.Of(2, 0).logprob, -60'000.0f + std::log(0.5f));
}

TEST(TokenLogprobsTest, TopIsBestFirstAndLowerIdFirstOfEquals) {
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f};
  TokenLogprobs logprobs(4);
  logprobs.SetRow(logits);
  EXPECT_THAT(logprobs.Of(0, 3).top, ElementsAre(Key(1), Key(3), Key(2)));
}

TEST(TokenLogprobsTest, MoreThanTheVocabularyIsTheVocabulary) {
  const std::vector<float> logits = {1.0f, 3.0f};
  TokenLogprobs logprobs(2);
  logprobs.SetRow(logits);
  EXPECT_THAT(logprobs.Of(0, 20).top, ElementsAre(Key(1), Key(0)));
}

}  // namespace
}  // namespace tramontane
