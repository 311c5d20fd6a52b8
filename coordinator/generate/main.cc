// The command-line client: streams a generation, or a conversation, to the terminal.
#include "proto/serving/abseil_flag_types.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
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
#include "coordinator/generate/inference_client.h"
#include "coordinator/generate/json_output.h"
#include "coordinator/generate/request_flags.h"
#include "coordinator/generate/routing_view.h"
#include "coordinator/generate/terminal_text.h"
#include "proto/serving/process.h"

ABSL_FLAG(std::string, target, "127.0.0.1:8470", "HOST:PORT of the coordinator.");
ABSL_FLAG(double, timeout_s, 0, "Seconds after which a request is given up; 0: no limit.");

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

ABSL_FLAG(bool, chat, false,
          "The prompt is a user's message in the instruct format, not text to continue.");
ABSL_FLAG(std::string, system, "", "System message of a chat.");
ABSL_FLAG(bool, json, false, "Print one JSON object in the API's field names, at the end.");
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

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

absl::StatusOr<RoutingView> MakeRoutingView(InferenceClient& client) {
  const absl::StatusOr<v1::GetModelResponse> model = client.GetModel();
  if (!model.ok()) return model.status();
  return RoutingView(static_cast<int>(model->num_layers()), static_cast<int>(model->num_experts()),
                     static_cast<int>(model->top_k()), UseColors());
}

// Runs one request and prints it as the flags want it. Yields the merged stream.
absl::StatusOr<v1::GenerateResponse> RunOnce(InferenceClient& client,
                                             const v1::GenerateRequest& request) {
  const bool json = absl::GetFlag(FLAGS_json);
  const bool safe = isatty(STDOUT_FILENO) == 1;
  std::optional<RoutingView> view;
  if (absl::GetFlag(FLAGS_show_routing) && !json) {
    absl::StatusOr<RoutingView> made = MakeRoutingView(client);
    if (!made.ok()) return made.status();
    view.emplace(*std::move(made));
  }
  v1::GenerateResponse all;
  const absl::Status status = client.Generate(request, [&](const v1::GenerateResponse& part) {
    MergeResponse(part, all);
    if (json) return;
    if (view.has_value()) {
      Print(view->Add(part));
    } else {
      Print(safe ? TerminalSafe(part.text()) : part.text());
    }
  });
  if (view.has_value()) Print(view->Finish());
  if (!json && (status.ok() || !all.text().empty())) Print("\n");
  if (!status.ok()) return status;
  if (json) Print(ToJson(request, all) + "\n");
  if (view.has_value()) std::fprintf(stderr, "%s\n", view->Legend().c_str());
  if (!json) std::fprintf(stderr, "%s\n", ClosingLine(all).c_str());
  return all;
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
    if (!answer.ok()) return answer.status();
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
  if (!(absl::GetFlag(FLAGS_timeout_s) >= 0)) {
    return absl::InvalidArgumentError("--timeout_s: expected 0 or more");
  }
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
    if (typed) return Converse(client, *std::move(request));
    v1::ChatMessage* const message = request->add_messages();
    message->set_role("user");
    message->set_content(request->prompt());
    request->clear_prompt();
  }
  return RunOnce(client, *request).status();
}

int Main(int argc, char** argv) {
  BlockTerminationSignals();
  const std::vector<char*> positional =
      ParseFlags(argc, argv,
                 "Generates text with a Tramontane coordinator. For example:\n"
                 "  generate \"Once upon a time\"\n"
                 "  generate --max_tokens=64 --temperature=0.8 --show_routing < prompt.txt\n"
                 "  generate --prompt_token_ids=1,5,9 --temperature=0 --json\n"
                 "Without a prompt, on a terminal, it is a conversation line by line.");
  const std::string target = absl::GetFlag(FLAGS_target);
  const absl::StatusOr<ApiClient> api = ApiClientFromFlags(target);
  if (!api.ok()) return ExitWith(api.status());
  const auto client = std::make_shared<InferenceClient>(
      target, absl::Seconds(absl::GetFlag(FLAGS_timeout_s)), api->tls, api->token);
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
