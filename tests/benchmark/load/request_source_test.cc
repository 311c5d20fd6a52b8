#include "tests/benchmark/load/request_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

v1::GetModelResponse Model() {
  v1::GetModelResponse model;
  model.set_vocab_size(50);
  model.set_context_length(256);
  model.set_bos_token_id(1);
  model.add_eos_token_ids(2);
  return model;
}

LoadOptions Options() {
  LoadOptions options;
  options.prompt_tokens = *LengthDistribution::Parse("uniform:4:40");
  options.output_tokens = *LengthDistribution::Parse("uniform:1:20");
  options.seed = 5;
  return options;
}

RequestSource Source(const LoadOptions& options) {
  return *RequestSource::Create(options, Model());
}

std::vector<uint32_t> Prompt(const PlannedRequest& planned) {
  return {planned.message.prompt_token_ids().begin(), planned.message.prompt_token_ids().end()};
}

TEST(RequestSourceTest, PromptsAreBosAndTokensOfTheVocabularyWithoutControlTokens) {
  const RequestSource source = Source(Options());
  std::set<uint32_t> seen;
  for (uint64_t number = 0; number < 200; ++number) {
    const std::vector<uint32_t> prompt = Prompt(source.Make(number));
    ASSERT_GE(prompt.size(), 4);
    ASSERT_LE(prompt.size(), 40);
    EXPECT_EQ(prompt.front(), 1);
    seen.insert(prompt.begin() + 1, prompt.end());
  }
  EXPECT_EQ(seen.size(), 48);  // 200 * 22 draws miss none of 48
  EXPECT_EQ(seen.count(1) + seen.count(2), 0);
  EXPECT_LT(*seen.rbegin(), 50);
}

TEST(RequestSourceTest, NumberAndSeedMakeTheRequest) {
  const RequestSource source = Source(Options());
  LoadOptions other_seed = Options();
  other_seed.seed = 6;
  EXPECT_EQ(source.Make(3).message.SerializeAsString(),
            Source(Options()).Make(3).message.SerializeAsString());
  EXPECT_NE(Prompt(source.Make(3)), Prompt(source.Make(4)));
  EXPECT_NE(Prompt(source.Make(3)), Prompt(Source(other_seed).Make(3)));
}

TEST(RequestSourceTest, EachPromptBeginsWithOneOfThePrefixes) {
  LoadOptions options = Options();
  options.shared_prefix_tokens = 16;
  options.num_prefixes = 3;
  const RequestSource source = Source(options);
  std::set<std::vector<uint32_t>> prefixes;
  std::set<std::vector<uint32_t>> prompts;
  for (uint64_t number = 0; number < 60; ++number) {
    const std::vector<uint32_t> prompt = Prompt(source.Make(number));
    ASSERT_GE(prompt.size(), 16 + 4);
    EXPECT_EQ(prompt.front(), 1);
    EXPECT_EQ(std::count(prompt.begin(), prompt.end(), 1u), 1);
    prefixes.insert({prompt.begin(), prompt.begin() + 16});
    prompts.insert(prompt);
  }
  EXPECT_EQ(prefixes.size(), 3);
  EXPECT_EQ(prompts.size(), 60);
}

TEST(RequestSourceTest, FieldsOfTheRequestFollowTheOptions) {
  LoadOptions options = Options();
  EXPECT_TRUE(Source(options).Make(0).message.ignore_eos());
  EXPECT_FALSE(Source(options).Make(0).message.has_temperature());
  options.ignore_eos = false;
  options.temperature = 0;
  options.output_tokens = LengthDistribution::Constant(9);
  const v1::GenerateRequest message = Source(options).Make(0).message;
  EXPECT_FALSE(message.ignore_eos());
  EXPECT_TRUE(message.has_temperature());
  EXPECT_EQ(message.max_tokens(), 9);
}

TEST(RequestSourceTest, CancelsTheFractionAfterSomeTokensBeforeTheLast) {
  LoadOptions options = Options();
  options.cancel_fraction = 0.25;
  options.output_tokens = LengthDistribution::Constant(10);
  const RequestSource source = Source(options);
  constexpr int kNumRequests = 2000;
  int cancelled = 0;
  std::set<uint64_t> after;
  for (uint64_t number = 0; number < kNumRequests; ++number) {
    const uint64_t tokens = source.Make(number).cancel_after_tokens;
    if (tokens == 0) continue;
    ++cancelled;
    after.insert(tokens);
  }
  // Five standard errors: 5 * sqrt(0.25 * 0.75 / 2000).
  EXPECT_NEAR(cancelled / static_cast<double>(kNumRequests), 0.25, 0.049);
  EXPECT_EQ(after, (std::set<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(RequestSourceTest, LengthsThatCannotFitTheContextAreRefused) {
  LoadOptions options = Options();
  options.shared_prefix_tokens = 200;
  const absl::StatusOr<RequestSource> source = RequestSource::Create(options, Model());
  EXPECT_TRUE(absl::IsInvalidArgument(source.status()));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("260 tokens in one request"));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("256"));
}

TEST(RequestSourceTest, LognormalWithoutMaximumIsCutToTheContext) {
  LoadOptions options = Options();
  options.prompt_tokens = *LengthDistribution::Parse("lognormal:100:3");
  options.output_tokens = *LengthDistribution::Parse("lognormal:100:3");
  options.shared_prefix_tokens = 8;
  const RequestSource source = Source(options);
  uint32_t longest = 0;
  for (uint64_t number = 0; number < 300; ++number) {
    const v1::GenerateRequest message = source.Make(number).message;
    const auto total =
        static_cast<uint32_t>(message.prompt_token_ids_size()) + message.max_tokens();
    ASSERT_LE(total, 256);
    ASSERT_GE(message.max_tokens(), 1);
    longest = std::max(longest, total);
  }
  EXPECT_EQ(longest, 256);
}

}  // namespace
}  // namespace tramontane
