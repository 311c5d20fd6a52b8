#include <limits>
#include <nlohmann/json.hpp>

#include "model/config.h"
#include "model/json_document.h"
#include "model/json_fields.h"

namespace tramontane {
namespace {

constexpr size_t kMaxGenerationConfigBytes = 1 << 20;

}  // namespace

absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(std::string_view json,
                                                           std::string_view source) {
  const absl::StatusOr<nlohmann::json> document =
      ParseJsonObject(json, source, kMaxGenerationConfigBytes, DuplicateKeys::kLastWins);
  if (!document.ok()) return document.status();
  constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
  JsonFields fields(*document, std::string(source));
  GenerationDefaults defaults;
  fields.ReadBool("do_sample", &defaults.do_sample);
  fields.ReadNumber("temperature", 0, 100, &defaults.temperature);
  fields.ReadInt("top_k", 0, kMaxInt, &defaults.top_k);
  // The least top_p still keeps the likeliest token.
  fields.ReadNumber("top_p", 1e-30, 1, &defaults.top_p);
  fields.ReadNumber("min_p", 0, 1, &defaults.min_p);
  fields.ReadNumber("repetition_penalty", 1e-30, 100, &defaults.repetition_penalty);
  fields.ReadInt("max_new_tokens", 1, kMaxInt, &defaults.max_new_tokens);
  fields.ReadTokenIds("eos_token_id", &defaults.eos_token_ids);
  if (!fields.status().ok()) return fields.status();
  return defaults;
}

}  // namespace tramontane
