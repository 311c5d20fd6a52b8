#include "coordinator/generate/request_flags.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

absl::StatusOr<uint32_t> ParseTokenId(const char* flag, const std::string& text) {
  uint32_t token_id = 0;
  if (absl::SimpleAtoi(text, &token_id)) return token_id;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": \"", text,
                                                 "\" is not a token id; expected whole numbers "
                                                 "separated by commas, such as 1,5,9"));
}

absl::Status AddTokenIds(const char* flag, const std::vector<std::string>& texts,
                         google::protobuf::RepeatedField<uint32_t>* field) {
  for (const std::string& text : texts) {
    const absl::StatusOr<uint32_t> token_id = ParseTokenId(flag, text);
    if (!token_id.ok()) return token_id.status();
    field->Add(*token_id);
  }
  return absl::OkStatus();
}

absl::Status AddLogitBias(const std::vector<std::string>& texts, v1::GenerateRequest& request) {
  for (const std::string& text : texts) {
    const size_t colon = text.find(':');
    float bias = 0;
    if (colon == std::string::npos || !absl::SimpleAtof(text.substr(colon + 1), &bias)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--logit_bias: \"", text, "\" is not ID:BIAS; expected pairs such as 13:-100,2:5.5"));
    }
    const absl::StatusOr<uint32_t> token_id = ParseTokenId("logit_bias", text.substr(0, colon));
    if (!token_id.ok()) return token_id.status();
    (*request.mutable_logit_bias())[*token_id] = bias;
  }
  return absl::OkStatus();
}

absl::StatusOr<char> Unescape(char escaped) {
  switch (escaped) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case '\\':
    case ',':
      return escaped;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("--stop: \\", std::string(1, escaped),
                       " is not an escape; expected \\n, \\t, \\r, \\\\ or \\,"));
  }
}

void SetSampling(const RequestFlags& flags, v1::GenerateRequest& request) {
  if (flags.max_tokens.has_value()) request.set_max_tokens(*flags.max_tokens);
  if (flags.temperature.has_value()) request.set_temperature(*flags.temperature);
  if (flags.top_k.has_value()) request.set_top_k(*flags.top_k);
  if (flags.top_p.has_value()) request.set_top_p(*flags.top_p);
  if (flags.min_p.has_value()) request.set_min_p(*flags.min_p);
  if (flags.repetition_penalty.has_value()) {
    request.set_repetition_penalty(*flags.repetition_penalty);
  }
  if (flags.seed.has_value()) request.set_seed(*flags.seed);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseStopList(const std::string& list) {
  std::vector<std::string> stops;
  if (list.empty()) return stops;
  stops.emplace_back();
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == ',') {
      stops.emplace_back();
    } else if (list[i] != '\\') {
      stops.back() += list[i];
    } else if (++i == list.size()) {
      return absl::InvalidArgumentError("--stop ends with a lone \\; write \\\\ for a backslash");
    } else {
      const absl::StatusOr<char> character = Unescape(list[i]);
      if (!character.ok()) return character.status();
      stops.back() += *character;
    }
  }
  return stops;
}

absl::StatusOr<v1::GenerateRequest> BuildRequest(const RequestFlags& flags) {
  v1::GenerateRequest request;
  if (flags.prompt.has_value()) request.set_prompt(*flags.prompt);
  absl::StatusOr<std::vector<std::string>> stops = ParseStopList(flags.stop);
  if (!stops.ok()) return stops.status();
  for (std::string& stop : *stops) request.add_stop(std::move(stop));
  for (const absl::Status& status :
       {AddTokenIds("prompt_token_ids", flags.prompt_token_ids, request.mutable_prompt_token_ids()),
        AddTokenIds("stop_token_ids", flags.stop_token_ids, request.mutable_stop_token_ids()),
        AddLogitBias(flags.logit_bias, request)}) {
    if (!status.ok()) return status;
  }
  SetSampling(flags, request);
  request.set_ignore_eos(flags.ignore_eos);
  request.set_echo(flags.echo);
  request.set_logprobs(flags.logprobs);
  request.set_top_logprobs(flags.top_logprobs);
  request.set_prompt_logprobs(flags.prompt_logprobs);
  request.set_routing(flags.routing);
  request.set_priority(flags.priority);
  request.set_num_completions(flags.num_completions);
  return request;
}

}  // namespace tramontane
