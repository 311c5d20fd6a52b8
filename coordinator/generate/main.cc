// The command-line client: streams a generation, or a conversation, to the terminal.
#include "proto/serving/abseil_flag_types.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "coordinator/generate/client_flags.h"
#include "coordinator/generate/completion_texts.h"
#include "coordinator/generate/inference_client.h"
#include "coordinator/generate/json_output.h"
#include "coordinator/generate/request_flags.h"
#include "coordinator/generate/retry_policy.h"
#include "coordinator/generate/routing_view.h"
#include "coordinator/generate/terminal_text.h"
#include "proto/serving/flag_range.h"
#include "proto/serving/process.h"

ABSL_FLAG(std::string, target, "127.0.0.1:8470", "HOST:PORT or unix:PATH of the coordinator.");
ABSL_FLAG(double, timeout_s, 0, "Seconds after which a request is given up; 0: no limit.");
ABSL_FLAG(int, max_attempts, 3,
          "Attempts, 1 to 5, at a request that ends with UNAVAILABLE before any of its answer has "
          "come, as when a coordinator shuts down and another one takes its place.");

// Named as the fields of GenerateRequest in proto/inference.proto. What is not given is not sent.
ABSL_FLAG(std::optional<std::string>, prompt, std::nullopt,
          "Text to continue; also as an argument, or on standard input.");
ABSL_FLAG(std::vector<std::string>, prompt_token_ids, {},
          "The prompt as token ids, such as 1,5,9; BOS first is yours to give.");
ABSL_FLAG(std::optional<uint32_t>, max_tokens, std::nullopt,
          "Most new tokens; 0 scores the prompt only.");
ABSL_FLAG(std::optional<float>, temperature, std::nullopt, "[0, 100]; 0 is greedy.");
ABSL_FLAG(std::optional<uint32_t>, top_k, std::nullopt, "Only the k likeliest tokens; 0: off.");
ABSL_FLAG(std::optional<float>, top_p, std::nullopt, "(0, 1]; nucleus; 1: off.");
ABSL_FLAG(std::optional<float>, min_p, std::nullopt,
          "[0, 1]; least share of the likeliest token's probability; 0: off.");
ABSL_FLAG(std::optional<float>, repetition_penalty, std::nullopt, "(0, 100]; 1: off.");
ABSL_FLAG(std::vector<std::string>, logit_bias, {}, "ID:BIAS,…, added to these tokens' logits.");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt, "Same seed, same text.");
ABSL_FLAG(
    std::string, stop, "",
    "Strings that end the text, separated by commas; \\n, \\t, \\r, \\\\ and \\, are escapes.");
ABSL_FLAG(std::vector<std::string>, stop_token_ids, {}, "Token ids that end the generation.");
ABSL_FLAG(bool, ignore_eos, false, "Go on after an end-of-sequence token.");
ABSL_FLAG(bool, echo, false, "The prompt's text first.");
ABSL_FLAG(bool, logprobs, false, "With --json: log-probabilities of the new tokens.");
ABSL_FLAG(uint32_t, top_logprobs, 0, "With --json: so many alternatives beside each, at most 20.");
ABSL_FLAG(bool, prompt_logprobs, false, "With --json: log-probabilities of the prompt's tokens.");
ABSL_FLAG(bool, routing, false, "With --json: experts and weights of every layer for every token.");
ABSL_FLAG(int32_t, priority, 0, "[-100, 100]; higher runs first.");
ABSL_FLAG(uint32_t, num_completions, 0,
          "[0, 16]; so many completions of the prompt, each with a seed of its own; 0: one.");

ABSL_FLAG(bool, chat, false,
          "The prompt is a user's message in the instruct format, not text to continue.");
ABSL_FLAG(std::string, system, "", "System message of a chat.");
ABSL_FLAG(bool, json, false,
          "Print a JSON object in the API's field names for each completion, at the end.");
ABSL_FLAG(bool, show_routing, false,
          "Colour each token by its leading expert in the last layer, with a legend.");
ABSL_FLAG(std::string, color, "auto", "Colours: auto (on a terminal), always or never.");

namespace tramontane {
namespace {

RequestFlags ReadRequestFlags() {
  RequestFlags flags;
  flags.prompt = absl::GetFlag(FLAGS_prompt);
  flags.prompt_token_ids = absl::GetFlag(FLAGS_prompt_token_ids);
  flags.max_tokens = absl::GetFlag(FLAGS_max_tokens);
  flags.temperature = absl::GetFlag(FLAGS_temperature);
  flags.top_k = absl::GetFlag(FLAGS_top_k);
  flags.top_p = absl::GetFlag(FLAGS_top_p);
  flags.min_p = absl::GetFlag(FLAGS_min_p);
  flags.repetition_penalty = absl::GetFlag(FLAGS_repetition_penalty);
  flags.logit_bias = absl::GetFlag(FLAGS_logit_bias);
  flags.seed = absl::GetFlag(FLAGS_seed);
  flags.priority = absl::GetFlag(FLAGS_priority);
  flags.num_completions = absl::GetFlag(FLAGS_num_completions);
  flags.stop = absl::GetFlag(FLAGS_stop);
  flags.stop_token_ids = absl::GetFlag(FLAGS_stop_token_ids);
  flags.ignore_eos = absl::GetFlag(FLAGS_ignore_eos);
  flags.echo = absl::GetFlag(FLAGS_echo);
  flags.logprobs = absl::GetFlag(FLAGS_logprobs);
  flags.top_logprobs = absl::GetFlag(FLAGS_top_logprobs);
  flags.prompt_logprobs = absl::GetFlag(FLAGS_prompt_logprobs);
  flags.routing = absl::GetFlag(FLAGS_routing) || absl::GetFlag(FLAGS_show_routing);
  return flags;
}

bool UseColors() {
  const std::string color = absl::GetFlag(FLAGS_color);
  return color == "always" || (color == "auto" && isatty(STDOUT_FILENO) == 1);
}

// What went wrong with the output, which nothing can be printed to any more; 0: nothing.
int print_errno = 0;

// False where it is lost.
bool Print(const std::string& text) {
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written && print_errno == 0) print_errno = errno;
  return written;
}

absl::Status Printed() {
  if (print_errno == 0) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("the output cannot be written: ", std::strerror(print_errno)));
}

absl::StatusOr<RoutingView> MakeRoutingView(InferenceClient& client) {
  const absl::StatusOr<v1::GetModelResponse> model = client.GetModel();
  if (!model.ok()) return model.status();
  return RoutingView(static_cast<int>(model->num_layers()), static_cast<int>(model->num_experts()),
                     static_cast<int>(model->top_k()), UseColors());
}

// Of one completion: what has come, and how it is shown.
struct Completion {
  v1::GenerateResponse all;  // merged
  std::optional<RoutingView> view;
};
using Completions = std::map<uint32_t, Completion>;  // by completion_index

// What `part` adds to the completion's text on the terminal.
std::string ShownText(const v1::GenerateResponse& part, bool over, Completion& completion) {
  if (completion.view.has_value()) {
    std::string text = completion.view->Add(part);
    return over ? text + completion.view->Finish() : text;
  }
  return isatty(STDOUT_FILENO) == 1 ? TerminalSafe(part.text()) : part.text();
}

void PrintEnds(const v1::GenerateRequest& request, const Completions& completions) {
  for (const auto& [index, completion] : completions) {
    if (absl::GetFlag(FLAGS_json)) {
      Print(ToJson(request, completion.all) + "\n");
      continue;
    }
    const std::string name =
        request.num_completions() > 1 ? absl::StrCat("completion ", index, ": ") : "";
    if (completion.view.has_value()) {
      std::fprintf(stderr, "%s%s\n", name.c_str(), completion.view->Legend().c_str());
    }
    std::fprintf(stderr, "%s%s\n", name.c_str(), ClosingLine(completion.all).c_str());
  }
}

// Runs one request and prints it as the flags want it. Yields the first completion, merged.
absl::StatusOr<v1::GenerateResponse> RunOnce(InferenceClient& client,
                                             const v1::GenerateRequest& request) {
  const bool json = absl::GetFlag(FLAGS_json);
  std::optional<RoutingView> view;
  if (absl::GetFlag(FLAGS_show_routing) && !json) {
    absl::StatusOr<RoutingView> made = MakeRoutingView(client);
    if (!made.ok()) return made.status();
    view.emplace(*std::move(made));
  }
  Completions completions;
  CompletionTexts texts(request.num_completions());
  bool printed = false;
  const auto print = [&](const std::string& text) {
    printed = printed || !text.empty();
    if (!Print(text)) client.Cancel();
  };
  const absl::Status status = client.Generate(request, [&](const v1::GenerateResponse& part) {
    Completion& completion =
        completions.try_emplace(part.completion_index(), Completion{{}, view}).first->second;
    MergeResponse(part, completion.all);
    const bool over = part.finish_reason() != v1::FINISH_REASON_UNSPECIFIED;
    const std::string text = ShownText(part, over, completion);
    if (!json) print(texts.Add(part.completion_index(), text, over));
  });
  for (auto& [index, completion] : completions) {  // where the request failed
    if (completion.view.has_value()) print(texts.Add(index, completion.view->Finish(), false));
  }
  if (!json) print(texts.Finish());
  if (!json && (status.ok() || printed)) Print("\n");
  if (const absl::Status lost = Printed(); !lost.ok()) return lost;
  if (!status.ok()) return status;
  PrintEnds(request, completions);
  if (const absl::Status lost = Printed(); !lost.ok()) return lost;
  return completions[0].all;
}

// One line, one turn; ends with the input.
absl::Status Converse(InferenceClient& client, v1::GenerateRequest request) {
  std::fprintf(stderr, "Type a message and Enter; Ctrl-D ends the conversation.\n");
  std::string line;
  while (std::fprintf(stderr, "> "), std::getline(std::cin, line)) {
    if (line.empty()) continue;
    v1::ChatMessage* const message = request.add_messages();
    message->set_role("user");
    message->set_content(line);
    const absl::StatusOr<v1::GenerateResponse> answer = RunOnce(client, request);
    if (absl::IsCancelled(answer.status()) || absl::IsAborted(answer.status())) {
      return answer.status();
    }
    if (!answer.ok()) {  // what was said before still stands
      std::fprintf(stderr, "error: %s\n", std::string(answer.status().message()).c_str());
      request.mutable_messages()->RemoveLast();
      continue;
    }
    v1::ChatMessage* const reply = request.add_messages();
    reply->set_role("assistant");
    reply->set_content(answer->text());
  }
  std::fprintf(stderr, "\n");
  return absl::OkStatus();
}

absl::Status CheckFlags(const std::vector<char*>& positional) {
  const std::string color = absl::GetFlag(FLAGS_color);
  if (color != "auto" && color != "always" && color != "never") {
    return absl::InvalidArgumentError(
        absl::StrCat("--color=", color, ": expected auto, always or never"));
  }
  const absl::Status timeout = CheckAtLeast(0, {{"timeout_s", absl::GetFlag(FLAGS_timeout_s)}});
  if (!timeout.ok()) return timeout;
  const int num_prompts = (positional.empty() ? 0 : 1) +
                          (absl::GetFlag(FLAGS_prompt).has_value() ? 1 : 0) +
                          (absl::GetFlag(FLAGS_prompt_token_ids).empty() ? 0 : 1);
  if (num_prompts > 1) {
    return absl::InvalidArgumentError(
        "more than one prompt: expected one of --prompt, --prompt_token_ids and an argument");
  }
  return absl::OkStatus();
}

// The prompt as text, from wherever it comes; none where it is token ids or to be typed.
std::optional<std::string> ReadPrompt(const std::vector<char*>& positional) {
  if (!positional.empty()) return absl::StrJoin(positional, " ");
  if (absl::GetFlag(FLAGS_prompt).has_value()) return absl::GetFlag(FLAGS_prompt);
  if (!absl::GetFlag(FLAGS_prompt_token_ids).empty()) return std::nullopt;
  if (isatty(STDIN_FILENO) == 1) return std::nullopt;
  const std::string input(std::istreambuf_iterator<char>(std::cin), {});
  return std::string(absl::StripSuffix(input, "\n"));  // the one that echo and editors add
}

absl::Status Run(InferenceClient& client, const std::vector<char*>& positional) {
  absl::Status status = CheckFlags(positional);
  if (!status.ok()) return status;
  RequestFlags flags = ReadRequestFlags();
  flags.prompt = ReadPrompt(positional);
  absl::StatusOr<v1::GenerateRequest> request = BuildRequest(flags);
  if (!request.ok()) return request.status();
  const bool typed = !request->has_prompt() && request->prompt_token_ids().empty();
  if (typed || absl::GetFlag(FLAGS_chat)) {
    const std::string system = absl::GetFlag(FLAGS_system);
    if (!system.empty()) {
      v1::ChatMessage* const message = request->add_messages();
      message->set_role("system");
      message->set_content(system);
    }
    if (typed && request->num_completions() > 1) {
      return absl::InvalidArgumentError(
          "--num_completions: a conversation has one answer to each message; expected 1");
    }
    if (typed) return Converse(client, *std::move(request));
    v1::ChatMessage* const message = request->add_messages();
    message->set_role("user");
    message->set_content(request->prompt());
    request->clear_prompt();
  }
  return RunOnce(client, *request).status();
}

int Main(int argc, char** argv) {
  IgnoreLockOrder();
  TakeTerminationSignals();
  const std::vector<char*> positional =
      ParseFlags(argc, argv,
                 "Generates text with a Tramontane coordinator. For example:\n"
                 "  generate \"Once upon a time\"\n"
                 "  generate --max_tokens=64 --temperature=0.8 --show_routing < prompt.txt\n"
                 "  generate --prompt_token_ids=1,5,9 --temperature=0 --json\n"
                 "  generate --num_completions=3 \"Once upon a time\"\n"
                 "Without a prompt, on a terminal, it is a conversation line by line.");
  const std::string target = absl::GetFlag(FLAGS_target);
  const int max_attempts = absl::GetFlag(FLAGS_max_attempts);
  if (max_attempts < 1 || max_attempts > kMostAttempts) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("--max_attempts=", max_attempts, ": expected 1 to ", kMostAttempts)));
  }
  const absl::StatusOr<ApiClient> api = ApiClientFromFlags(target);
  if (!api.ok()) return ExitWith(api.status());
  const auto client = std::make_shared<InferenceClient>(
      target, absl::Seconds(absl::GetFlag(FLAGS_timeout_s)), api->tls, api->token, max_attempts);
  // Ends with the process; a call that it cancels ends Run.
  std::thread([client] {
    WaitForTerminationSignal();
    if (!client->Cancel()) _exit(kExitInterrupted);
  }).detach();
  return ExitWith(Run(*client, positional));
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
