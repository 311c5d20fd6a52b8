// What the command-line client prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/generate/completion_texts.h"
#include "coordinator/generate/json_output.h"
#include "coordinator/generate/routing_view.h"
#include "coordinator/generate/terminal_text.h"

namespace tramontane {
namespace {

using nlohmann::json;
using testing::HasSubstr;

v1::GenerateResponse LastMessage() {
  v1::GenerateResponse message;
  message.set_finish_reason(v1::FINISH_REASON_LENGTH);
  message.mutable_usage()->set_prompt_tokens(3);
  message.mutable_usage()->set_completion_tokens(5);
  message.mutable_timings()->set_time_to_first_token_ms(20);
  message.mutable_timings()->set_total_ms(60);
  message.set_seed(7);
  return message;
}

TEST(MergeResponseTest, TextAndListsGrowAndTheRestIsTheLasts) {
  v1::GenerateResponse all, part;
  part.set_text("a");
  part.add_token_ids(1);
  MergeResponse(part, all);
  part.set_text("b");
  MergeResponse(part, all);
  MergeResponse(LastMessage(), all);
  EXPECT_EQ(all.text(), "ab");
  EXPECT_EQ(all.token_ids_size(), 2);
  EXPECT_EQ(all.finish_reason(), v1::FINISH_REASON_LENGTH);
}

TEST(CompletionTextsTest, OneCompletionStreamsAsItIs) {
  CompletionTexts texts(1);
  EXPECT_EQ(texts.Add(0, "a", false), "a");
  EXPECT_EQ(texts.Add(0, "b", true), "b");
  EXPECT_EQ(texts.Finish(), "");
}

TEST(CompletionTextsTest, SeveralFollowEachOtherUnderTheirNames) {
  CompletionTexts texts(3);
  EXPECT_EQ(texts.Add(1, "x", false), "");
  EXPECT_EQ(texts.Add(0, "a", false), "[completion 0]\na");
  EXPECT_EQ(texts.Add(1, "y", true), "");
  EXPECT_EQ(texts.Add(2, "p", false), "");
  EXPECT_EQ(texts.Add(0, "b", true), "b\n[completion 1]\nxy\n[completion 2]\np");
  EXPECT_EQ(texts.Add(2, "q", true), "q");
}

TEST(CompletionTextsTest, WhatHasComeIsPrintedWhereARequestFails) {
  CompletionTexts texts(2);
  texts.Add(1, "x", false);
  EXPECT_EQ(texts.Finish(), "\n[completion 1]\nx");
}

TEST(ToJsonTest, HasTheIndexWhereThereAreSeveral) {
  v1::GenerateRequest request;
  EXPECT_FALSE(json::parse(ToJson(request, LastMessage())).contains("completion_index"));
  request.set_num_completions(2);
  v1::GenerateResponse all = LastMessage();
  all.set_completion_index(1);
  EXPECT_EQ(json::parse(ToJson(request, all))["completion_index"], 1);
}

TEST(ToJsonTest, HasTheApisFieldNames) {
  v1::GenerateRequest request;
  request.set_prompt_logprobs(true);
  v1::GenerateResponse all = LastMessage();
  all.set_text("caf\xC3\xA9 \"x\"");
  all.add_token_ids(9);
  all.add_prompt_token_ids(1);
  all.add_prompt_token_ids(5);
  all.add_prompt_logprobs(std::numeric_limits<float>::quiet_NaN());
  all.add_prompt_logprobs(-1.5f);
  const json answer = json::parse(ToJson(request, all));
  EXPECT_EQ(answer["text"], "café \"x\"");
  EXPECT_EQ(answer["token_ids"], json({9}));
  EXPECT_EQ(answer["prompt_token_ids"], json({1, 5}));
  EXPECT_TRUE(answer["prompt_logprobs"][0].is_null());
  EXPECT_EQ(answer["prompt_logprobs"][1], -1.5);
  EXPECT_EQ(answer["finish_reason"], "FINISH_REASON_LENGTH");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(answer["timings"]["total_ms"], 60);
  EXPECT_EQ(answer["seed"], 7);
}

TEST(ToJsonTest, ListsThatWereAskedForAreThereEvenEmpty) {
  v1::GenerateRequest request;
  EXPECT_FALSE(json::parse(ToJson(request, LastMessage())).contains("logprobs"));
  request.set_logprobs(true);
  request.set_top_logprobs(2);
  request.set_routing(true);
  const json answer = json::parse(ToJson(request, LastMessage()));
  for (const char* field :
       {"logprobs", "top_logprobs", "routing", "prompt_routing", "prompt_token_ids", "token_ids"}) {
    EXPECT_EQ(answer[field], json::array()) << field;
  }
}

TEST(ToJsonTest, RoutingAndAlternativesAreObjects) {
  v1::GenerateRequest request;
  request.set_logprobs(true);
  request.set_top_logprobs(1);
  request.set_routing(true);
  v1::GenerateResponse all = LastMessage();
  all.add_routing()->add_expert_ids(3);
  all.mutable_routing(0)->add_weights(0.5f);
  all.add_top_logprobs()->add_token_ids(4);
  all.mutable_top_logprobs(0)->add_logprobs(-0.25f);
  const json answer = json::parse(ToJson(request, all));
  EXPECT_EQ(answer["routing"][0]["expert_ids"], json({3}));
  EXPECT_EQ(answer["routing"][0]["weights"], json({0.5}));
  EXPECT_EQ(answer["top_logprobs"][0]["token_ids"], json({4}));
  EXPECT_EQ(answer["top_logprobs"][0]["logprobs"], json({-0.25}));
}

TEST(ClosingLineTest, RateCountsFromTheFirstToken) {
  // Four tokens in the 40 ms after the first.
  EXPECT_EQ(ClosingLine(LastMessage()),
            "5 tokens (length), first after 20.0 ms, 100.0 tokens/s, seed 7");
}

TEST(ClosingLineTest, ScoredPromptHasTheRateOfThePrompt) {
  v1::GenerateResponse last = LastMessage();
  last.mutable_usage()->set_completion_tokens(0);
  EXPECT_EQ(ClosingLine(last), "3 prompt tokens in 60.0 ms, 50.0 tokens/s");
}

TEST(TerminalSafeTest, WhatATerminalObeysIsReplaced) {
  EXPECT_EQ(TerminalSafe("a\x1b[2Jb\x07\x7f"), "a\xEF\xBF\xBD[2Jb\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(TerminalSafe("\xC2\x9B"
                         "2J"),
            "\xEF\xBF\xBD"
            "2J")
      << "CSI as one character";
  EXPECT_EQ(TerminalSafe("a\tb\nc é 漢 😀 \xC2\xA0"), "a\tb\nc é 漢 😀 \xC2\xA0");
}

v1::GenerateResponse Token(const std::string& text, int expert_of_the_one_before) {
  v1::GenerateResponse message;
  message.set_text(text);
  message.add_token_ids(1);
  if (expert_of_the_one_before >= 0) {
    v1::TokenRouting* const routing = message.add_routing();
    for (const int id : {0, 1, expert_of_the_one_before, 0}) {  // two layers, top-2
      routing->add_expert_ids(static_cast<uint32_t>(id));
      routing->add_weights(0.5f);
    }
  }
  return message;
}

TEST(RoutingViewTest, TokenGetsTheColourOfItsOwnRouting) {
  RoutingView view(2, 4, 2, /*colors=*/true);
  EXPECT_EQ(view.Add(Token(" a", -1)), "") << "its routing is not there yet";
  const std::string first = view.Add(Token(" b", 3));
  EXPECT_THAT(first, HasSubstr(" a"));
  EXPECT_THAT(first, testing::StartsWith("\x1b[38;5;"));
  EXPECT_NE(view.Add(Token(" c", 2)).substr(0, 11), first.substr(0, 11)) << "another expert";
  EXPECT_EQ(view.Finish(), " c") << "the last token was not run";
  EXPECT_THAT(view.Legend(), HasSubstr("expert 3"));
}

TEST(RoutingViewTest, WithoutColoursItIsTheText) {
  RoutingView view(2, 4, 2, /*colors=*/false);
  std::string text = view.Add(Token(" a", -1));
  text += view.Add(Token(" b", 3));
  text += view.Add(Token(" c", 3));
  text += view.Finish();
  EXPECT_EQ(text, " a b c");
  EXPECT_THAT(view.Legend(), HasSubstr("expert 3 2"));
}

TEST(RoutingViewTest, EchoOfThePromptComesAtOnce) {
  RoutingView view(2, 4, 2, /*colors=*/true);
  v1::GenerateResponse prompt;
  prompt.set_text("Once");
  EXPECT_EQ(view.Add(prompt), "Once");
}

}  // namespace
}  // namespace tramontane
