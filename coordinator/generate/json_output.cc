#include "coordinator/generate/json_output.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace tramontane {
namespace {

using Json = nlohmann::ordered_json;

template <typename List>
Json NumbersJson(const List& numbers) {
  Json json = Json::array();
  for (const auto number : numbers) json.push_back(number);  // not finite: dumped as null
  return json;
}

Json TopLogprobsJson(const google::protobuf::RepeatedPtrField<v1::TopLogprobs>& tops) {
  Json json = Json::array();
  for (const v1::TopLogprobs& top : tops) {
    json.push_back(
        {{"token_ids", NumbersJson(top.token_ids())}, {"logprobs", NumbersJson(top.logprobs())}});
  }
  return json;
}

Json RoutingJson(const google::protobuf::RepeatedPtrField<v1::TokenRouting>& routing) {
  Json json = Json::array();
  for (const v1::TokenRouting& token : routing) {
    json.push_back({{"expert_ids", NumbersJson(token.expert_ids())},
                    {"weights", NumbersJson(token.weights())}});
  }
  return json;
}

}  // namespace

void MergeResponse(const v1::GenerateResponse& part, v1::GenerateResponse& all) {
  std::string text = all.text() + part.text();
  all.MergeFrom(part);
  all.set_text(std::move(text));
}

std::string ToJson(const v1::GenerateRequest& request, const v1::GenerateResponse& all) {
  const bool prompt_tokens = request.echo() || request.prompt_logprobs() || request.routing();
  const bool logprobs =
      request.logprobs() || (request.top_logprobs() > 0 && !request.prompt_logprobs());
  Json json;
  if (request.num_completions() > 1) json["completion_index"] = all.completion_index();
  json["text"] = all.text();
  json["token_ids"] = NumbersJson(all.token_ids());
  if (logprobs) json["logprobs"] = NumbersJson(all.logprobs());
  if (logprobs && request.top_logprobs() > 0) {
    json["top_logprobs"] = TopLogprobsJson(all.top_logprobs());
  }
  if (prompt_tokens) json["prompt_token_ids"] = NumbersJson(all.prompt_token_ids());
  if (request.prompt_logprobs()) {
    json["prompt_logprobs"] = NumbersJson(all.prompt_logprobs());
    if (request.top_logprobs() > 0) {
      json["prompt_top_logprobs"] = TopLogprobsJson(all.prompt_top_logprobs());
    }
  }
  if (request.routing()) {
    json["prompt_routing"] = RoutingJson(all.prompt_routing());
    json["routing"] = RoutingJson(all.routing());
  }
  json["finish_reason"] = v1::FinishReason_Name(all.finish_reason());
  json["usage"] = {{"prompt_tokens", all.usage().prompt_tokens()},
                   {"completion_tokens", all.usage().completion_tokens()},
                   {"cached_prompt_tokens", all.usage().cached_prompt_tokens()}};
  json["timings"] = {{"queue_ms", all.timings().queue_ms()},
                     {"time_to_first_token_ms", all.timings().time_to_first_token_ms()},
                     {"total_ms", all.timings().total_ms()}};
  json["seed"] = all.seed();
  return json.dump();
}

}  // namespace tramontane
