#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/config.h"

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(GenerationDefaultsTest, ReadsEveryDefault) {
  const auto defaults = ParseGenerationDefaults(
      R"({"do_sample": true, "temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.05,
          "repetition_penalty": 1.1, "max_new_tokens": 256, "eos_token_id": [2, 32000]})",
      "generation_config.json");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->do_sample, true);
  EXPECT_EQ(defaults->temperature, 0.8f);
  EXPECT_EQ(defaults->top_k, 50);
  EXPECT_EQ(defaults->top_p, 0.95f);
  EXPECT_EQ(defaults->min_p, 0.05f);
  EXPECT_EQ(defaults->repetition_penalty, 1.1f);
  EXPECT_EQ(defaults->max_new_tokens, 256);
  EXPECT_THAT(defaults->eos_token_ids, ElementsAre(2, 32000));
}

TEST(GenerationDefaultsTest, WhatIsAbsentOrNullIsNotSet) {
  for (const char* text : {"{}", R"({"temperature": null, "eos_token_id": null})"}) {
    const auto defaults = ParseGenerationDefaults(text, "generation_config.json");
    ASSERT_TRUE(defaults.ok()) << defaults.status();
    EXPECT_FALSE(defaults->do_sample.has_value());
    EXPECT_FALSE(defaults->temperature.has_value());
    EXPECT_FALSE(defaults->max_new_tokens.has_value());
    EXPECT_THAT(defaults->eos_token_ids, IsEmpty());
  }
}

class GenerationDefaultsRefusalTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GenerationDefaultsRefusalTest, NamesTheKey) {
  const auto defaults = ParseGenerationDefaults(GetParam(), "generation_config.json");
  ASSERT_EQ(defaults.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(defaults.status().message()), HasSubstr("generation_config.json: \""));
}

INSTANTIATE_TEST_SUITE_P(Cases, GenerationDefaultsRefusalTest,
                         ::testing::Values(R"({"temperature": -1})", R"({"temperature": "hot"})",
                                           R"({"top_p": 0})", R"({"top_p": 1.5})",
                                           R"({"top_k": -1})", R"({"top_k": 2.5})",
                                           R"({"min_p": 2})", R"({"repetition_penalty": 0})",
                                           R"({"max_new_tokens": 0})", R"({"do_sample": 1})",
                                           R"({"eos_token_id": [-1]})", R"({"eos_token_id": {}})"));

}  // namespace
}  // namespace tramontane
