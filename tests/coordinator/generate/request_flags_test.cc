#include "coordinator/generate/request_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(BuildRequestTest, UnsetFlagsAreNotSent) {
  RequestFlags flags;
  flags.prompt = "Once";
  const auto request = BuildRequest(flags);
  ASSERT_TRUE(request.ok()) << request.status();
  v1::GenerateRequest expected;
  expected.set_prompt("Once");
  EXPECT_EQ(request->SerializeAsString(), expected.SerializeAsString());
}

TEST(BuildRequestTest, EveryFlagReachesItsField) {
  RequestFlags flags;
  flags.prompt_token_ids = {"1", "5", "9"};
  flags.max_tokens = 24;
  flags.temperature = 0.0f;
  flags.top_k = 40;
  flags.top_p = 0.9f;
  flags.min_p = 0.1f;
  flags.repetition_penalty = 1.1f;
  flags.logit_bias = {"13:-100", "2:5.5"};
  flags.seed = 7;
  flags.stop = "END,\\n";
  flags.stop_token_ids = {"3"};
  flags.ignore_eos = flags.echo = flags.logprobs = flags.prompt_logprobs = flags.routing = true;
  flags.top_logprobs = 4;
  flags.num_completions = 3;
  const auto built = BuildRequest(flags);
  ASSERT_TRUE(built.ok()) << built.status();
  const v1::GenerateRequest& request = *built;
  EXPECT_FALSE(request.has_prompt());
  EXPECT_THAT(request.prompt_token_ids(), ElementsAre(1, 5, 9));
  EXPECT_EQ(request.max_tokens(), 24u);
  EXPECT_TRUE(request.has_temperature());
  EXPECT_EQ(request.temperature(), 0.0f);
  EXPECT_EQ(request.top_k(), 40u);
  EXPECT_EQ(request.top_p(), 0.9f);
  EXPECT_EQ(request.min_p(), 0.1f);
  EXPECT_EQ(request.repetition_penalty(), 1.1f);
  EXPECT_EQ(request.logit_bias().at(13), -100.0f);
  EXPECT_EQ(request.logit_bias().at(2), 5.5f);
  EXPECT_EQ(request.seed(), 7u);
  EXPECT_THAT(request.stop(), ElementsAre("END", "\n"));
  EXPECT_THAT(request.stop_token_ids(), ElementsAre(3));
  EXPECT_TRUE(request.ignore_eos() && request.echo() && request.logprobs() &&
              request.prompt_logprobs() && request.routing());
  EXPECT_EQ(request.top_logprobs(), 4u);
  EXPECT_EQ(request.num_completions(), 3u);
}

TEST(BuildRequestTest, BadListsNameFlagAndPart) {
  RequestFlags ids;
  ids.prompt_token_ids = {"1", "x"};
  EXPECT_THAT(std::string(BuildRequest(ids).status().message()),
              testing::AllOf(HasSubstr("--prompt_token_ids"), HasSubstr("\"x\"")));
  RequestFlags stops;
  stops.stop_token_ids = {"-1"};
  EXPECT_THAT(std::string(BuildRequest(stops).status().message()), HasSubstr("--stop_token_ids"));
  for (const char* bias : {"13", "13:", "x:1", ":1"}) {
    RequestFlags flags;
    flags.logit_bias = {bias};
    EXPECT_EQ(BuildRequest(flags).status().code(), absl::StatusCode::kInvalidArgument) << bias;
  }
}

TEST(ParseStopListTest, SplitsAtCommasAndReadsEscapes) {
  EXPECT_THAT(*ParseStopList(""), IsEmpty());
  EXPECT_THAT(*ParseStopList("a"), ElementsAre("a"));
  EXPECT_THAT(*ParseStopList("a, b"), ElementsAre("a", " b"));
  EXPECT_THAT(*ParseStopList("a\\,b,\\\\,\\n\\t\\r"), ElementsAre("a,b", "\\", "\n\t\r"));
}

TEST(ParseStopListTest, UnknownEscapeIsAnError) {
  EXPECT_FALSE(ParseStopList("\\q").ok());
  EXPECT_FALSE(ParseStopList("a\\").ok());
}

}  // namespace
}  // namespace tramontane
