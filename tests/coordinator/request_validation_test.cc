#include "coordinator/request_validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/coordinator/demo_model.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

GenerationRequest TokenRequest() {
  GenerationRequest request;
  request.prompt_token_ids = {1, 2742, 868};
  return request;
}

ServedModel WithoutTokenizer() {
  ServedModel model = DemoServedModel();
  model.tokenizer = nullptr;
  return model;
}

struct RefusedCase {
  std::string name;
  std::function<void(GenerationRequest&)> change;
  std::vector<std::string> words;  // of the message: field, value, limit
};

void PrintTo(const RefusedCase& refused, std::ostream* out) { *out << refused.name; }

class RefusedRequestTest : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedRequestTest, NamesFieldValueAndLimit) {
  GenerationRequest request = TokenRequest();
  GetParam().change(request);
  const auto plan = PlanGeneration(request, DemoServedModel(), 1);
  ASSERT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << plan.status();
  for (const std::string& word : GetParam().words) {
    EXPECT_THAT(std::string(plan.status().message()), HasSubstr(word));
  }
}

using R = GenerationRequest;
INSTANTIATE_TEST_SUITE_P(
    Fields, RefusedRequestTest,
    testing::Values(
        RefusedCase{"no_prompt", [](R& r) { r.prompt_token_ids.clear(); }, {"prompt", "none"}},
        RefusedCase{"empty_prompt",
                    [](R& r) { r.prompt_token_ids.clear(), r.prompt = ""; },
                    {"prompt", "\"\"", "at least 1"}},
        RefusedCase{"two_prompts", [](R& r) { r.prompt = "Once"; }, {"prompt", "2", "exactly one"}},
        RefusedCase{"three_prompts",
                    [](R& r) {
                      r.prompt = "Once", r.messages = {{"user", "hi"}};
                    },
                    {"prompt", "3", "exactly one"}},
        RefusedCase{"prompt_not_utf8",
                    [](R& r) { r.prompt_token_ids.clear(), r.prompt = "Once \xff"; },
                    {"prompt", "0xff", "byte 5"}},
        RefusedCase{"prompt_of_megabytes",
                    [](R& r) {
                      r.prompt_token_ids.clear();
                      r.prompt = std::string(1 << 20, 'a');
                    },
                    {"prompt", "1048576", "1024 tokens"}},
        RefusedCase{"unknown_prompt_token",
                    [](R& r) { r.prompt_token_ids.push_back(4096); },
                    {"prompt_token_ids", "4096"}},
        RefusedCase{"huge_prompt_token",
                    [](R& r) { r.prompt_token_ids.push_back(4294967295u); },
                    {"prompt_token_ids", "4294967295", "4096"}},
        RefusedCase{"prompt_past_context",
                    [](R& r) { r.prompt_token_ids.assign(1025, 5); },
                    {"prompt", "1025", "1024"}},
        RefusedCase{"max_tokens_past_context",
                    [](R& r) { r.max_tokens = 1022; },
                    {"max_tokens", "1022", "1021", "1024"}},
        RefusedCase{"max_tokens_past_int",
                    [](R& r) { r.max_tokens = 4294967295u; },
                    {"max_tokens", "4294967295"}},
        RefusedCase{"negative_temperature",
                    [](R& r) { r.temperature = -1.0f; },
                    {"temperature", "-1", "[0, 100]"}},
        RefusedCase{"nan_temperature",
                    [](R& r) { r.temperature = kNaN; },
                    {"temperature", "nan", "[0, 100]"}},
        RefusedCase{"infinite_temperature",
                    [](R& r) { r.temperature = kInfinity; },
                    {"temperature", "inf", "[0, 100]"}},
        RefusedCase{"zero_top_p", [](R& r) { r.top_p = 0.0f; }, {"top_p", "0", "(0, 1]"}},
        RefusedCase{"nan_top_p", [](R& r) { r.top_p = kNaN; }, {"top_p", "nan"}},
        RefusedCase{"top_p_past_one", [](R& r) { r.top_p = 1.5f; }, {"top_p", "1.5", "(0, 1]"}},
        RefusedCase{"negative_min_p", [](R& r) { r.min_p = -0.5f; }, {"min_p", "-0.5", "[0, 1]"}},
        RefusedCase{"nan_min_p", [](R& r) { r.min_p = kNaN; }, {"min_p", "nan"}},
        RefusedCase{"zero_repetition_penalty",
                    [](R& r) { r.repetition_penalty = 0.0f; },
                    {"repetition_penalty", "0", "(0, 100]"}},
        RefusedCase{"nan_repetition_penalty",
                    [](R& r) { r.repetition_penalty = kNaN; },
                    {"repetition_penalty", "nan"}},
        RefusedCase{"unknown_biased_token",
                    [](R& r) {
                      r.logit_bias = {{4096, 1.0f}};
                    },
                    {"logit_bias", "4096"}},
        RefusedCase{"bias_past_limit",
                    [](R& r) {
                      r.logit_bias = {{7, 1001.0f}};
                    },
                    {"logit_bias", "1001", "[-1000, 1000]", "token 7"}},
        RefusedCase{"nan_bias",
                    [](R& r) {
                      r.logit_bias = {{7, kNaN}};
                    },
                    {"logit_bias", "nan"}},
        RefusedCase{"too_many_stops", [](R& r) { r.stop.assign(17, "x"); }, {"stop", "17", "16"}},
        RefusedCase{"empty_stop",
                    [](R& r) {
                      r.stop = {"a", ""};
                    },
                    {"stop[1]", "0 bytes", "256"}},
        RefusedCase{
            "long_stop", [](R& r) { r.stop = {std::string(257, 'a')}; }, {"stop[0]", "257", "256"}},
        RefusedCase{"stop_not_utf8", [](R& r) { r.stop = {"\xc3"}; }, {"stop[0]", "UTF-8"}},
        RefusedCase{"too_many_completions",
                    [](R& r) { r.num_completions = 17; },
                    {"num_completions", "17", "at most 16"}},
        RefusedCase{"completions_past_int",
                    [](R& r) { r.num_completions = 4294967295u; },
                    {"num_completions", "4294967295", "at most 16"}},
        RefusedCase{"too_many_stop_tokens",
                    [](R& r) { r.stop_token_ids.assign(257, 5); },
                    {"stop_token_ids", "257", "256"}},
        RefusedCase{"unknown_stop_token",
                    [](R& r) { r.stop_token_ids = {5000}; },
                    {"stop_token_ids", "5000", "4096"}},
        RefusedCase{"too_many_alternatives",
                    [](R& r) { r.top_logprobs = 21; },
                    {"top_logprobs", "21", "20"}},
        RefusedCase{"conversation_out_of_order",
                    [](R& r) {
                      r.prompt_token_ids.clear();
                      r.messages = {{"assistant", "hi"}};
                    },
                    {"messages"}}),
    [](const auto& test) { return test.param.name; });

class TokenizerNeededTest : public testing::TestWithParam<RefusedCase> {};

TEST_P(TokenizerNeededTest, IsAFailedPrecondition) {
  GenerationRequest request = TokenRequest();
  GetParam().change(request);
  const auto plan = PlanGeneration(request, WithoutTokenizer(), 1);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition) << plan.status();
  EXPECT_THAT(std::string(plan.status().message()),
              AllOf(HasSubstr(GetParam().words[0]), HasSubstr("tokenizer")));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, TokenizerNeededTest,
    testing::Values(RefusedCase{"text",
                                [](R& r) { r.prompt_token_ids.clear(), r.prompt = "Once"; },
                                {"prompt"}},
                    RefusedCase{"chat",
                                [](R& r) {
                                  r.prompt_token_ids.clear(), r.messages = {{"user", "hi"}};
                                },
                                {"messages"}},
                    RefusedCase{"stop_strings", [](R& r) { r.stop = {"x"}; }, {"stop"}},
                    RefusedCase{"echo", [](R& r) { r.echo = true; }, {"echo"}}),
    [](const auto& test) { return test.param.name; });

TEST(PlanGenerationTest, FillsInTheCheckpointsDefaults) {
  const auto plan = PlanGeneration(TokenRequest(), DemoServedModel(), 77);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->prompt_token_ids, ElementsAre(1, 2742, 868));
  EXPECT_EQ(plan->max_tokens, 256);
  EXPECT_EQ(plan->sampling.temperature, 0.8f);
  EXPECT_EQ(plan->sampling.top_p, 0.95f);
  EXPECT_EQ(plan->sampling.top_k, 0);
  EXPECT_EQ(plan->sampling.repetition_penalty, 1.0f);
  EXPECT_EQ(plan->sampling.seed, 77u);
  EXPECT_THAT(plan->stop_token_ids, ElementsAre(2));
}

TEST(PlanGenerationTest, DefaultMaxTokensIsWhatTheContextLeaves) {
  GenerationRequest request;
  request.prompt_token_ids.assign(1000, 5);
  EXPECT_EQ(PlanGeneration(request, DemoServedModel(), 1)->max_tokens, 24);
  request.prompt_token_ids.assign(1024, 5);
  EXPECT_EQ(PlanGeneration(request, DemoServedModel(), 1)->max_tokens, 0);
}

TEST(PlanGenerationTest, PromptAndMaxTokensMayFillTheContext) {
  GenerationRequest request = TokenRequest();
  request.max_tokens = 1021;
  EXPECT_TRUE(PlanGeneration(request, DemoServedModel(), 1).ok());
}

TEST(PlanGenerationTest, LimitsThemselvesAreAllowed) {
  GenerationRequest request = TokenRequest();
  request.temperature = 100.0f;
  request.top_p = 1.0f;
  request.min_p = 1.0f;
  request.repetition_penalty = 100.0f;
  request.top_k = 4294967295u;
  request.logit_bias = {{4095, -1000.0f}};
  request.stop.assign(16, std::string(256, 'a'));
  request.stop_token_ids.assign(256, 4095);
  request.top_logprobs = 20;
  const auto plan = PlanGeneration(request, DemoServedModel(), 1);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->sampling.top_k, 0) << "all of the vocabulary is no limit";
}

TEST(PlanGenerationTest, NoNumberOfCompletionsMeansOne) {
  GenerationRequest request = TokenRequest();
  EXPECT_EQ(PlanGeneration(request, DemoServedModel(), 1)->num_completions, 1);
  request.num_completions = 16;
  EXPECT_EQ(PlanGeneration(request, DemoServedModel(), 1)->num_completions, 16);
}

TEST(PlanOfCompletionTest, SeedsFollowEachOtherAndWrap) {
  GenerationRequest request = TokenRequest();
  request.num_completions = 3;
  request.seed = std::numeric_limits<uint64_t>::max() - 1;
  const GenerationPlan plan = *PlanGeneration(request, DemoServedModel(), 1);
  EXPECT_EQ(PlanOfCompletion(plan, 0).sampling.seed, std::numeric_limits<uint64_t>::max() - 1);
  EXPECT_EQ(PlanOfCompletion(plan, 1).sampling.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(PlanOfCompletion(plan, 2).sampling.seed, 0u);
}

TEST(PlanGenerationTest, TextGetsBosBeforeIt) {
  GenerationRequest request;
  request.prompt = "Once upon a time";
  const auto plan = PlanGeneration(request, DemoServedModel(), 1);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->prompt_token_ids, ElementsAre(1, 2742, 868, 261, 586));
}

TEST(PlanGenerationTest, IgnoredEosStopsOnlyWhereAskedFor) {
  GenerationRequest request = TokenRequest();
  request.ignore_eos = true;
  EXPECT_THAT(PlanGeneration(request, DemoServedModel(), 1)->stop_token_ids, ElementsAre());
  request.stop_token_ids = {9, 2, 9};
  EXPECT_THAT(PlanGeneration(request, DemoServedModel(), 1)->stop_token_ids, ElementsAre(2, 9));
}

TEST(PlanGenerationTest, AlternativesAloneTurnOnLogprobs) {
  GenerationRequest request = TokenRequest();
  request.top_logprobs = 3;
  EXPECT_TRUE(PlanGeneration(request, DemoServedModel(), 1)->logprobs);
  request.prompt_logprobs = true;
  EXPECT_FALSE(PlanGeneration(request, DemoServedModel(), 1)->logprobs);
}

TEST(RequestDefaultsTest, DoSampleFalseMeansGreedy) {
  GenerationDefaults checkpoint;
  checkpoint.do_sample = false;
  checkpoint.temperature = 0.7f;
  EXPECT_EQ(RequestDefaultsFrom(checkpoint)->temperature, 0.0f);
}

TEST(RequestDefaultsTest, WithoutDoSampleTheTemperatureCounts) {
  GenerationDefaults checkpoint;
  EXPECT_EQ(RequestDefaultsFrom(checkpoint)->temperature, 1.0f);
  checkpoint.temperature = 0.7f;
  EXPECT_EQ(RequestDefaultsFrom(checkpoint)->temperature, 0.7f);
}

TEST(RequestDefaultsTest, DefaultOutOfRangeNamesTheFile) {
  GenerationDefaults checkpoint;
  checkpoint.top_p = 0.0f;
  const auto defaults = RequestDefaultsFrom(checkpoint);
  EXPECT_EQ(defaults.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(defaults.status().message()),
              AllOf(HasSubstr("generation_config.json"), HasSubstr("top_p"), HasSubstr("0")));
}

}  // namespace
}  // namespace tramontane
