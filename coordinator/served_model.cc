#include "coordinator/served_model.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/sampling_ranges.h"
#include "model/log.h"

namespace tramontane {
namespace {

absl::Status TakeFloat(const FloatRange& range, std::optional<float> from, float& into) {
  if (!from.has_value()) return absl::OkStatus();
  const absl::Status status = CheckRange(range, *from);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("generation_config.json: ", status.message()));
  }
  into = *from;
  return absl::OkStatus();
}

absl::Status TakeCount(const char* key, std::optional<int> from, int& into) {
  if (!from.has_value()) return absl::OkStatus();
  if (*from < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("generation_config.json: ", key, " is ", *from, "; expected at least 0"));
  }
  into = *from;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RequestDefaults> RequestDefaultsFrom(const GenerationDefaults& checkpoint_defaults) {
  RequestDefaults defaults;
  const GenerationDefaults& from = checkpoint_defaults;
  for (const absl::Status& status :
       {TakeFloat(kTemperatureRange, from.temperature, defaults.temperature),
        TakeFloat(kTopPRange, from.top_p, defaults.top_p),
        TakeFloat(kMinPRange, from.min_p, defaults.min_p),
        TakeFloat(kRepetitionPenaltyRange, from.repetition_penalty, defaults.repetition_penalty),
        TakeCount("top_k", from.top_k, defaults.top_k),
        TakeCount("max_new_tokens", from.max_new_tokens, defaults.max_tokens)}) {
    if (!status.ok()) return status;
  }
  if (from.do_sample.has_value() && !*from.do_sample) defaults.temperature = 0.0f;
  return defaults;
}

std::optional<int> ServedModel::bos_token_id() const {
  if (tokenizer != nullptr && tokenizer->bos_token_id().has_value()) {
    return tokenizer->bos_token_id();
  }
  return config.bos_token_id;
}

absl::StatusOr<ServedModel> DescribeServedModel(const Checkpoint& checkpoint, std::string name,
                                                std::string compute_dtype) {
  ServedModel model;
  model.name = std::move(name);
  model.digest = checkpoint.digest();
  model.compute_dtype = std::move(compute_dtype);
  model.config = checkpoint.config();
  model.eos_token_ids = checkpoint.eos_token_ids();
  absl::StatusOr<RequestDefaults> defaults = RequestDefaultsFrom(checkpoint.generation_defaults());
  if (!defaults.ok()) return defaults.status();
  model.defaults = *defaults;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Load(checkpoint.directory(), model.config.vocab_size);
  if (tokenizer.ok()) {
    model.tokenizer = *std::move(tokenizer);
  } else if (absl::IsNotFound(tokenizer.status())) {
    Log(LogLevel::kWarning, "no tokenizer: prompts are token ids only",
        {{"reason", tokenizer.status().message()}});
  } else {
    return tokenizer.status();
  }
  return model;
}

}  // namespace tramontane
