#include "coordinator/grpc/inference_messages.h"

#include <cstddef>
#include <string>

#include "absl/time/time.h"

namespace tramontane {
namespace {

using google::protobuf::RepeatedField;
using google::protobuf::RepeatedPtrField;

void AddTokenIds(const std::vector<int32_t>& token_ids, RepeatedField<uint32_t>* field) {
  field->Reserve(field->size() + static_cast<int>(token_ids.size()));
  for (const int32_t id : token_ids) field->Add(static_cast<uint32_t>(id));
}

void AddTopLogprobs(const std::vector<TopLogprobs>& tops,
                    RepeatedPtrField<v1::TopLogprobs>* field) {
  for (const TopLogprobs& top : tops) {
    v1::TopLogprobs* message = field->Add();
    for (const auto& [token_id, logprob] : top) {
      message->add_token_ids(static_cast<uint32_t>(token_id));
      message->add_logprobs(logprob);
    }
  }
}

void AddRouting(const ChunkRouting& routing, size_t num_choices,
                RepeatedPtrField<v1::TokenRouting>* field) {
  for (size_t begin = 0; begin < routing.expert_ids.size(); begin += num_choices) {
    v1::TokenRouting* message = field->Add();
    for (size_t i = begin; i < begin + num_choices; ++i) {
      message->add_expert_ids(static_cast<uint32_t>(routing.expert_ids[i]));
      message->add_weights(routing.gating_weights[i]);
    }
  }
}

void SetSummary(const GenerationSummary& summary, v1::GenerateResponse& message) {
  message.set_finish_reason(summary.finish_reason == FinishReason::kStop
                                ? v1::FINISH_REASON_STOP
                                : v1::FINISH_REASON_LENGTH);
  message.mutable_usage()->set_prompt_tokens(static_cast<uint32_t>(summary.prompt_tokens));
  message.mutable_usage()->set_completion_tokens(static_cast<uint32_t>(summary.completion_tokens));
  message.mutable_usage()->set_cached_prompt_tokens(
      static_cast<uint32_t>(summary.cached_prompt_tokens));
  v1::Timings& timings = *message.mutable_timings();
  timings.set_queue_ms(absl::ToDoubleMilliseconds(summary.queue));
  timings.set_time_to_first_token_ms(absl::ToDoubleMilliseconds(summary.time_to_first_token));
  timings.set_total_ms(absl::ToDoubleMilliseconds(summary.total));
  message.set_seed(summary.seed);
}

}  // namespace

GenerationRequest FromMessage(const v1::GenerateRequest& message) {
  GenerationRequest request;
  if (message.has_prompt()) request.prompt = message.prompt();
  request.prompt_token_ids.assign(message.prompt_token_ids().begin(),
                                  message.prompt_token_ids().end());
  request.messages = FromMessages(message.messages());
  if (message.has_max_tokens()) request.max_tokens = message.max_tokens();
  if (message.has_temperature()) request.temperature = message.temperature();
  if (message.has_top_k()) request.top_k = message.top_k();
  if (message.has_top_p()) request.top_p = message.top_p();
  if (message.has_min_p()) request.min_p = message.min_p();
  if (message.has_repetition_penalty()) request.repetition_penalty = message.repetition_penalty();
  request.logit_bias.assign(message.logit_bias().begin(), message.logit_bias().end());
  if (message.has_seed()) request.seed = message.seed();
  request.stop.assign(message.stop().begin(), message.stop().end());
  request.stop_token_ids.assign(message.stop_token_ids().begin(), message.stop_token_ids().end());
  request.ignore_eos = message.ignore_eos();
  request.echo = message.echo();
  request.logprobs = message.logprobs();
  request.top_logprobs = message.top_logprobs();
  request.prompt_logprobs = message.prompt_logprobs();
  request.routing = message.routing();
  request.priority = message.priority();
  request.num_completions = message.num_completions();
  return request;
}

std::vector<ChatMessage> FromMessages(const RepeatedPtrField<v1::ChatMessage>& messages) {
  std::vector<ChatMessage> result;
  result.reserve(static_cast<size_t>(messages.size()));
  for (const v1::ChatMessage& message : messages) {
    result.push_back({message.role(), message.content()});
  }
  return result;
}

v1::GenerateResponse ToMessage(const GenerationOutput& output, int num_choices) {
  v1::GenerateResponse message;
  const size_t choices = static_cast<size_t>(num_choices);
  message.set_completion_index(static_cast<uint32_t>(output.completion_index));
  message.set_text(output.text);
  AddTokenIds(output.token_ids, message.mutable_token_ids());
  message.mutable_logprobs()->Add(output.logprobs.begin(), output.logprobs.end());
  AddTopLogprobs(output.top_logprobs, message.mutable_top_logprobs());
  AddRouting(output.routing, choices, message.mutable_routing());
  AddTokenIds(output.prompt_token_ids, message.mutable_prompt_token_ids());
  message.mutable_prompt_logprobs()->Add(output.prompt_logprobs.begin(),
                                         output.prompt_logprobs.end());
  AddTopLogprobs(output.prompt_top_logprobs, message.mutable_prompt_top_logprobs());
  AddRouting(output.prompt_routing, choices, message.mutable_prompt_routing());
  if (output.summary.has_value()) SetSummary(*output.summary, message);
  return message;
}

v1::GetModelResponse ToMessage(const ServedModel& model) {
  const MixtralConfig& config = model.config;
  v1::GetModelResponse message;
  message.set_name(model.name);
  message.set_digest(model.digest);
  message.set_compute_dtype(model.compute_dtype);
  message.set_backend(model.backend);
  message.set_has_tokenizer(model.tokenizer != nullptr);
  message.set_num_layers(static_cast<uint32_t>(config.num_layers));
  message.set_hidden_size(static_cast<uint32_t>(config.hidden_size));
  message.set_intermediate_size(static_cast<uint32_t>(config.intermediate_size));
  message.set_num_heads(static_cast<uint32_t>(config.num_heads));
  message.set_num_kv_heads(static_cast<uint32_t>(config.num_kv_heads));
  message.set_head_dim(static_cast<uint32_t>(config.head_dim));
  message.set_num_experts(static_cast<uint32_t>(config.num_experts));
  message.set_top_k(static_cast<uint32_t>(config.top_k));
  message.set_vocab_size(static_cast<uint32_t>(config.vocab_size));
  message.set_context_length(static_cast<uint32_t>(model.context_length()));
  if (config.sliding_window.has_value()) {
    message.set_sliding_window(static_cast<uint32_t>(*config.sliding_window));
  }
  if (const std::optional<int> bos = model.bos_token_id(); bos.has_value()) {
    message.set_bos_token_id(static_cast<uint32_t>(*bos));
  }
  AddTokenIds(model.eos_token_ids, message.mutable_eos_token_ids());
  message.set_default_temperature(model.defaults.temperature);
  message.set_default_top_k(static_cast<uint32_t>(model.defaults.top_k));
  message.set_default_top_p(model.defaults.top_p);
  message.set_default_min_p(model.defaults.min_p);
  message.set_default_repetition_penalty(model.defaults.repetition_penalty);
  message.set_default_max_tokens(static_cast<uint32_t>(model.defaults.max_tokens));
  return message;
}

}  // namespace tramontane
