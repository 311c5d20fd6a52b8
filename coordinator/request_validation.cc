#include "coordinator/request_validation.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/prompt_encoding.h"
#include "coordinator/sampling_ranges.h"
#include "model/utf8.h"

namespace tramontane {
namespace {

absl::StatusOr<std::vector<int32_t>> PlanPrompt(const GenerationRequest& request,
                                                const ServedModel& model) {
  const int num_forms = (request.prompt.has_value() ? 1 : 0) +
                        (request.prompt_token_ids.empty() ? 0 : 1) +
                        (request.messages.empty() ? 0 : 1);
  if (num_forms != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt: ", num_forms == 0 ? "none was given" : absl::StrCat(num_forms, " were given"),
        "; expected exactly one of prompt, prompt_token_ids and messages"));
  }
  if (!request.prompt_token_ids.empty()) {
    return CheckTokenIds(model, "prompt_token_ids", request.prompt_token_ids);
  }
  if (!request.messages.empty()) return EncodeMessages(model, request.messages);
  if (request.prompt->empty()) {
    return absl::InvalidArgumentError("prompt is empty (\"\"); expected at least 1 character");
  }
  return EncodeText(model, "prompt", *request.prompt, /*with_bos=*/true);
}

absl::StatusOr<int> PlanMaxTokens(const GenerationRequest& request, const ServedModel& model,
                                  int64_t num_prompt_tokens) {
  const int64_t context = model.context_length();
  if (num_prompt_tokens > context) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", num_prompt_tokens,
                                                   " tokens; expected at most ", context,
                                                   ", the model's context"));
  }
  const int64_t left = context - num_prompt_tokens;
  if (!request.max_tokens.has_value()) {
    return static_cast<int>(std::min<int64_t>(model.defaults.max_tokens, left));
  }
  if (*request.max_tokens > left) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_tokens is ", *request.max_tokens, "; expected at most ", left, ", what the prompt of ",
        num_prompt_tokens, " tokens leaves of the model's context of ", context, " tokens"));
  }
  return static_cast<int>(*request.max_tokens);
}

absl::Status PlanFloat(const FloatRange& range, std::optional<float> asked, float fallback,
                       float& result) {
  result = asked.value_or(fallback);
  return CheckRange(range, result);
}

absl::Status PlanLogitBias(const GenerationRequest& request, const ServedModel& model,
                           SamplingParams& sampling) {
  for (const auto& [token_id, bias] : request.logit_bias) {
    absl::Status status = CheckTokenId(model, "logit_bias", token_id);
    if (!status.ok()) return status;
    status = CheckRange(kLogitBiasRange, bias);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(status.message(), " (of token ", token_id, ")"));
    }
    sampling.logit_bias.emplace_back(static_cast<int32_t>(token_id), bias);
  }
  std::sort(sampling.logit_bias.begin(), sampling.logit_bias.end());
  return absl::OkStatus();
}

absl::StatusOr<SamplingParams> PlanSampling(const GenerationRequest& request,
                                            const ServedModel& model, uint64_t fallback_seed) {
  const RequestDefaults& defaults = model.defaults;
  SamplingParams sampling;
  for (const absl::Status& status :
       {PlanFloat(kTemperatureRange, request.temperature, defaults.temperature,
                  sampling.temperature),
        PlanFloat(kTopPRange, request.top_p, defaults.top_p, sampling.top_p),
        PlanFloat(kMinPRange, request.min_p, defaults.min_p, sampling.min_p),
        PlanFloat(kRepetitionPenaltyRange, request.repetition_penalty, defaults.repetition_penalty,
                  sampling.repetition_penalty),
        PlanLogitBias(request, model, sampling)}) {
    if (!status.ok()) return status;
  }
  // At least the vocabulary's size is all of it.
  const auto vocab_size = static_cast<uint32_t>(model.config.vocab_size);
  const uint32_t top_k = request.top_k.value_or(static_cast<uint32_t>(defaults.top_k));
  sampling.top_k = top_k < vocab_size ? static_cast<int>(top_k) : 0;
  sampling.seed = request.seed.value_or(fallback_seed);
  return sampling;
}

absl::Status CheckCount(const char* field, size_t count, int limit) {
  if (count <= static_cast<size_t>(limit)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", count, " entries; expected at most ", limit));
}

absl::Status CheckStopStrings(const GenerationRequest& request, const ServedModel& model) {
  if (request.stop.empty()) return absl::OkStatus();
  absl::Status status = CheckCount("stop", request.stop.size(), kMaxStopStrings);
  for (size_t i = 0; status.ok() && i < request.stop.size(); ++i) {
    const std::string& stop = request.stop[i];
    if (stop.empty() || stop.size() > static_cast<size_t>(kMaxStopStringBytes)) {
      status = absl::InvalidArgumentError(absl::StrCat(
          "stop[", i, "] has ", stop.size(), " bytes; expected 1 to ", kMaxStopStringBytes));
    } else if (ValidUtf8Prefix(stop) != stop.size()) {
      status = absl::InvalidArgumentError(absl::StrCat("stop[", i, "] is not valid UTF-8"));
    }
  }
  return status.ok() ? CheckHasTokenizer(model, "stop") : status;
}

absl::StatusOr<std::vector<int32_t>> PlanStopTokens(const GenerationRequest& request,
                                                    const ServedModel& model) {
  const absl::Status status =
      CheckCount("stop_token_ids", request.stop_token_ids.size(), kMaxStopTokenIds);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<int32_t>> stops =
      CheckTokenIds(model, "stop_token_ids", request.stop_token_ids);
  if (!stops.ok()) return stops;
  if (!request.ignore_eos) {
    stops->insert(stops->end(), model.eos_token_ids.begin(), model.eos_token_ids.end());
  }
  std::sort(stops->begin(), stops->end());
  stops->erase(std::unique(stops->begin(), stops->end()), stops->end());
  return stops;
}

absl::Status CheckOutputs(const GenerationRequest& request, const ServedModel& model) {
  if (request.top_logprobs > static_cast<uint32_t>(kMaxTopLogprobs)) {
    return absl::InvalidArgumentError(absl::StrCat("top_logprobs is ", request.top_logprobs,
                                                   "; expected at most ", kMaxTopLogprobs));
  }
  if (std::abs(int64_t{request.priority}) > kMaxPriority) {
    return absl::InvalidArgumentError(absl::StrCat("priority is ", request.priority,
                                                   "; expected a number in [-", kMaxPriority, ", ",
                                                   kMaxPriority, "]"));
  }
  if (request.num_completions > static_cast<uint32_t>(kMaxCompletions)) {
    return absl::InvalidArgumentError(absl::StrCat("num_completions is ", request.num_completions,
                                                   "; expected at most ", kMaxCompletions));
  }
  return request.echo ? CheckHasTokenizer(model, "echo") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerationPlan> PlanGeneration(const GenerationRequest& request,
                                              const ServedModel& model, uint64_t fallback_seed) {
  absl::StatusOr<SamplingParams> sampling = PlanSampling(request, model, fallback_seed);
  if (!sampling.ok()) return sampling.status();
  for (const absl::Status& status :
       {CheckStopStrings(request, model), CheckOutputs(request, model)}) {
    if (!status.ok()) return status;
  }
  absl::StatusOr<std::vector<int32_t>> stop_token_ids = PlanStopTokens(request, model);
  if (!stop_token_ids.ok()) return stop_token_ids.status();
  absl::StatusOr<std::vector<int32_t>> prompt = PlanPrompt(request, model);
  if (!prompt.ok()) return prompt.status();
  const absl::StatusOr<int> max_tokens =
      PlanMaxTokens(request, model, static_cast<int64_t>(prompt->size()));
  if (!max_tokens.ok()) return max_tokens.status();

  GenerationPlan plan;
  plan.prompt_token_ids = *std::move(prompt);
  plan.max_tokens = *max_tokens;
  plan.sampling = *std::move(sampling);
  plan.stop = request.stop;
  plan.stop_token_ids = *std::move(stop_token_ids);
  plan.echo = request.echo;
  plan.prompt_logprobs = request.prompt_logprobs;
  plan.top_logprobs = static_cast<int>(request.top_logprobs);
  // Alternatives stand beside log-probabilities: asked for alone, they mean those of new tokens.
  plan.logprobs = request.logprobs || (request.top_logprobs > 0 && !request.prompt_logprobs);
  if (request.routing) plan.routing_choices = model.routing_choices();
  plan.priority = request.priority;
  plan.num_completions = std::max(1, static_cast<int>(request.num_completions));
  return plan;
}

uint64_t RandomSeed() {
  std::random_device entropy;
  const uint64_t high = entropy();
  return ((high << 32) | entropy()) >> 11;
}

}  // namespace tramontane
