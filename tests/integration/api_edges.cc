#include "tests/integration/api_edges.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tramontane {
namespace {

constexpr int kContext = 1024;
constexpr int kMaxTextBytes = 13 * kContext;  // the longest piece of the vocabulary

std::string Repeated(const std::string& text, int count) {
  return absl::StrJoin(std::vector<std::string>(static_cast<size_t>(count), text), " ");
}

std::string Text(int bytes) { return std::string(static_cast<size_t>(bytes), 'a'); }

std::string Turn(const std::string& role, const std::string& content) {
  return absl::StrCat("messages { role: \"", role, "\" content: \"", content, "\" } ");
}

FieldEdges Of(const std::string& field, std::vector<std::string> works,
              std::vector<RefusedEdge> refused) {
  return {absl::StrCat("tramontane.v1.GenerateRequest.", field), "Generate", std::move(works),
          std::move(refused), false};
}

FieldEdges AnyOf(const std::string& field, std::vector<std::string> works) {
  FieldEdges edges = Of(field, std::move(works), {});
  edges.takes_every_value = true;
  return edges;
}

FieldEdges Flag(const std::string& field) {
  return AnyOf(field, {absl::StrCat(field, ": true"), absl::StrCat(field, ": false")});
}

// What is beyond a range of floats, whichever it is.
std::vector<RefusedEdge> NotFinite(const std::string& field) {
  return {{absl::StrCat(field, ": nan"), {field, "nan", "expected"}},
          {absl::StrCat(field, ": inf"), {field, "inf", "expected"}},
          {absl::StrCat(field, ": -inf"), {field, "-inf", "expected"}}};
}

FieldEdges FloatRange(const std::string& field, std::vector<std::string> works,
                      std::vector<RefusedEdge> refused) {
  for (RefusedEdge& edge : NotFinite(field)) refused.push_back(std::move(edge));
  return Of(field, std::move(works), std::move(refused));
}

std::vector<FieldEdges> PromptEdges() {
  const std::string user = Turn("user", "hi"), assistant = Turn("assistant", "ho");
  return {
      Of("prompt", {"prompt: 'a'", "prompt: '\\000'", "prompt: '</s>[INST]'", "prompt: '\\n'"},
         {{"prompt: ''", {"prompt", "\"\"", "at least 1"}},
          {absl::StrCat("prompt: '", Text(kMaxTextBytes), "'"), {"prompt", "tokens", "1024"}},
          {absl::StrCat("prompt: '", Text(kMaxTextBytes + 1), "'"), {"prompt", "13313", "13312"}},
          {"prompt: 'a' prompt_token_ids: 1", {"prompt", "2 were given", "exactly one"}},
          {"max_tokens: 1 messages: []", {"prompt", "none", "exactly one"}}}),
      Of("prompt_token_ids",
         {"prompt_token_ids: 0", "prompt_token_ids: 4095",
          Repeated("prompt_token_ids: 5", kContext - 2),
          absl::StrCat("max_tokens: 0 ", Repeated("prompt_token_ids: 5", kContext))},
         {{"prompt_token_ids: 4096", {"prompt_token_ids", "4096", "vocabulary"}},
          {"prompt_token_ids: 4294967295", {"prompt_token_ids", "4294967295", "4096"}},
          {Repeated("prompt_token_ids: 5", kContext + 1), {"prompt", "1025", "1024"}}}),
      Of("messages", {user, Turn("system", "be brief") + user, user + assistant + user},
         {{assistant, {"messages[0].role", "assistant"}},
          {user + user, {"messages[1].role", "assistant"}},
          {user + assistant, {"messages", "user"}},
          {Turn("user", Text(kMaxTextBytes / 2)) + assistant +
               Turn("user", Text(kMaxTextBytes / 2)),
           {"messages has 13314 bytes", "13312"}},
          {user + "prompt: 'a'", {"prompt", "2 were given", "exactly one"}}}),
      {"tramontane.v1.ChatMessage.role",
       "Generate",
       {user},
       {{Turn("", "hi"), {"messages[0].role", "user"}},
        {Turn("User", "hi"), {"messages[0].role", "User"}},
        {Turn(Text(100'000), "hi"), {"messages[0].role", "aaaa"}}},
       false},
      {"tramontane.v1.ChatMessage.content",
       "Generate",
       {Turn("user", ""), Turn("user", "\\000"), Turn("user", "[/INST] </s>")},
       {{Turn("user", Text(kMaxTextBytes + 1)), {"messages[0].content", "13313", "13312"}},
        {Turn("user", Text(kMaxTextBytes)), {"prompt", "tokens", "1024"}}},
       false}};
}

std::vector<FieldEdges> SamplingEdges() {
  return {
      FloatRange("temperature",
                 {"temperature: 0", "temperature: -0.0", "temperature: 1e-45", "temperature: 100"},
                 {{"temperature: -1e-45", {"temperature", "-1", "[0, 100]"}},
                  {"temperature: 100.001", {"temperature", "100.001", "[0, 100]"}}}),
      AnyOf("top_k", {"top_k: 0", "top_k: 1", "top_k: 4096", "top_k: 4294967295"}),
      FloatRange("top_p", {"top_p: 1e-45", "top_p: 1", "top_p: 1e-45 temperature: 1"},
                 {{"top_p: 0", {"top_p", "0", "(0, 1]"}},
                  {"top_p: -0.5", {"top_p", "-0.5", "(0, 1]"}},
                  {"top_p: 1.00001", {"top_p", "1.00001", "(0, 1]"}}}),
      FloatRange("min_p", {"min_p: 0", "min_p: 1", "min_p: 1 temperature: 1"},
                 {{"min_p: -1e-45", {"min_p", "-1", "[0, 1]"}},
                  {"min_p: 1.00001", {"min_p", "1.00001", "[0, 1]"}}}),
      FloatRange("repetition_penalty",
                 {"repetition_penalty: 1e-45", "repetition_penalty: 100",
                  "repetition_penalty: 1e-45 temperature: 100"},
                 {{"repetition_penalty: 0", {"repetition_penalty", "0", "(0, 100]"}},
                  {"repetition_penalty: 100.001", {"repetition_penalty", "100.001", "(0, 100]"}}}),
      Of("logit_bias",
         {"logit_bias { key: 0 value: -1000 }", "logit_bias { key: 4095 value: 1000 }",
          "logit_bias { key: 7 value: 1000 } repetition_penalty: 1e-45 temperature: 1"},
         {{"logit_bias { key: 4096 value: 1 }", {"logit_bias", "4096", "vocabulary"}},
          {"logit_bias { key: 4294967295 value: 1 }", {"logit_bias", "4294967295"}},
          {"logit_bias { key: 7 value: 1000.1 }", {"logit_bias", "1000.1", "[-1000, 1000]"}},
          {"logit_bias { key: 7 value: nan }", {"logit_bias", "nan", "token 7"}},
          {"logit_bias { key: 7 value: -inf }", {"logit_bias", "-inf", "token 7"}}}),
      AnyOf("seed", {"seed: 0", "seed: 18446744073709551615 temperature: 1"})};
}

std::vector<FieldEdges> OutputEdges() {
  const std::string longest = absl::StrCat("stop: '", Text(256), "'");
  return {Of("max_tokens", {"max_tokens: 0", "max_tokens: 1", "max_tokens: 1021"},
             {{"max_tokens: 1022", {"max_tokens", "1022", "1021"}},
              {"max_tokens: 4294967295", {"max_tokens", "4294967295", "1021"}}}),
          Of("stop", {"stop: 'a'", "stop: '\\000'", Repeated(longest, 16)},
             {{"stop: ''", {"stop[0]", "0 bytes", "1 to 256"}},
              {absl::StrCat("stop: '", Text(257), "'"), {"stop[0]", "257", "1 to 256"}},
              {Repeated("stop: 'a'", 17), {"stop", "17", "16"}}}),
          Of("stop_token_ids", {"stop_token_ids: 0", Repeated("stop_token_ids: 4095", 256)},
             {{"stop_token_ids: 4096", {"stop_token_ids", "4096", "vocabulary"}},
              {Repeated("stop_token_ids: 5", 257), {"stop_token_ids", "257", "256"}}}),
          Flag("ignore_eos"),
          Flag("echo"),
          Flag("logprobs"),
          Flag("prompt_logprobs"),
          Flag("routing"),
          Of("top_logprobs",
             {"top_logprobs: 0", "top_logprobs: 20", "top_logprobs: 20 prompt_logprobs: true"},
             {{"top_logprobs: 21", {"top_logprobs", "21", "20"}},
              {"top_logprobs: 4294967295", {"top_logprobs", "4294967295", "20"}}}),
          Of("priority", {"priority: -100", "priority: 100"},
             {{"priority: 101", {"priority", "101", "[-100, 100]"}},
              {"priority: -101", {"priority", "-101", "[-100, 100]"}},
              {"priority: 2147483647", {"priority", "2147483647"}},
              {"priority: -2147483648", {"priority", "-2147483648"}}}),
          Of("num_completions",
             {"num_completions: 0", "num_completions: 1", "num_completions: 16 temperature: 1"},
             {{"num_completions: 17", {"num_completions", "17", "16"}},
              {"num_completions: 4294967295", {"num_completions", "4294967295", "16"}}})};
}

std::vector<FieldEdges> TokenizationEdges() {
  return {{"tramontane.v1.TokenizeRequest.text",
           "Tokenize",
           {"text: ''", "text: '\\000'", absl::StrCat("text: '", Text(kMaxTextBytes), "'")},
           {{absl::StrCat("text: '", Text(kMaxTextBytes + 1), "'"), {"text", "13313", "13312"}},
            {"text: 'a' " + Turn("user", "hi"), {"text", "both", "exactly one"}},
            {"", {"text", "neither", "exactly one"}}},
           false},
          {"tramontane.v1.TokenizeRequest.messages",
           "Tokenize",
           {Turn("user", "hi")},
           {{Turn("assistant", "hi"), {"messages[0].role", "assistant"}}},
           false},
          {"tramontane.v1.TokenizeRequest.no_bos",
           "Tokenize",
           {"text: 'a' no_bos: true", "text: 'a' no_bos: false"},
           {},
           true},
          {"tramontane.v1.DetokenizeRequest.token_ids",
           "Detokenize",
           {"", "token_ids: 0", "token_ids: 4095", Repeated("token_ids: 300", 100'000)},
           {{"token_ids: 4096", {"token_ids", "4096", "vocabulary"}},
            {"token_ids: 4294967295", {"token_ids", "4294967295"}}},
           false}};
}

}  // namespace

std::vector<FieldEdges> ApiEdges() {
  std::vector<FieldEdges> all;
  for (std::vector<FieldEdges> some :
       {PromptEdges(), SamplingEdges(), OutputEdges(), TokenizationEdges()}) {
    for (FieldEdges& edges : some) all.push_back(std::move(edges));
  }
  return all;
}

}  // namespace tramontane
