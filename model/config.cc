#include "model/config.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/json_document.h"
#include "model/json_fields.h"

namespace tramontane {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

// Far above every published model, and low enough that no product of two sizes overflows int64
// and none of three times an element's size either.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxExperts = 1 << 12;
constexpr int64_t kMaxVocab = (1 << 23) - 1;  // of more, weights may not add up (sampling_weight.h)
constexpr int64_t kMaxContext = 1 << 30;

void CheckArchitecture(JsonFields* fields) {
  constexpr char kAdvice[] = "only MixtralForCausalLM checkpoints can be served";
  const nlohmann::json* architectures = fields->Find("architectures");
  if (architectures != nullptr) {
    const bool mixtral =
        architectures->is_array() && std::find(architectures->begin(), architectures->end(),
                                               "MixtralForCausalLM") != architectures->end();
    if (!mixtral) {
      fields->Refuse("architectures", "a list with \"MixtralForCausalLM\"", kAdvice);
    }
  }
  const nlohmann::json* model_type = fields->Find("model_type");
  if (model_type != nullptr ? *model_type != "mixtral" : architectures == nullptr) {
    fields->Refuse("model_type", "\"mixtral\"", kAdvice);
  }
  if (fields->Find("quantization_config") != nullptr) {
    fields->Refuse("quantization_config", "weights that are not quantised",
                   "use the bf16, f16 or f32 checkpoint that this one was made from");
  }
}

// What MixtralForCausalLM has no place for, and would change its result.
void CheckNoVariations(JsonFields* fields) {
  for (const char* key : {"attention_bias", "qkv_bias", "mlp_bias", "use_qk_norm"}) {
    bool present = false;
    fields->ReadBool(key, &present);
    if (present) fields->Refuse(key, "false or none", "this variation of Mixtral is not supported");
  }
  const nlohmann::json* activation = fields->Find("hidden_act");
  if (activation != nullptr && *activation != "silu" && *activation != "swish") {
    fields->Refuse("hidden_act", "\"silu\"", "this variation of Mixtral is not supported");
  }
}

void ReadSizes(JsonFields* fields, MixtralConfig* config) {
  fields->RequireInt("num_hidden_layers", 1, kMaxLayers, &config->num_layers);
  fields->RequireInt("hidden_size", 1, kMaxWidth, &config->hidden_size);
  fields->RequireInt("intermediate_size", 1, kMaxWidth, &config->intermediate_size);
  fields->RequireInt("num_attention_heads", 1, kMaxHeads, &config->num_heads);
  fields->RequireInt("vocab_size", 1, kMaxVocab, &config->vocab_size);
  // Where these are left out, Transformers' MixtralConfig fills in the same values.
  config->num_experts = 8;
  config->top_k = 2;
  config->max_position_embeddings = 4096 * 32;
  fields->ReadInt("num_local_experts", 1, kMaxExperts, &config->num_experts);
  fields->ReadInt("num_experts_per_tok", 1, kMaxExperts, &config->top_k);
  fields->ReadInt("max_position_embeddings", 1, kMaxContext, &config->max_position_embeddings);
  fields->ReadInt("sliding_window", 1, kMaxContext, &config->sliding_window);
  if (config->top_k > config->num_experts) {
    fields->Refuse("num_experts_per_tok",
                   absl::StrCat("at most num_local_experts (", config->num_experts, ")"));
  }
}

void ReadHeads(JsonFields* fields, MixtralConfig* config) {
  std::optional<int> num_kv_heads;
  fields->ReadInt("num_key_value_heads", 1, kMaxHeads, &num_kv_heads);
  std::optional<int> head_dim;
  fields->ReadInt("head_dim", 1, kMaxHeads, &head_dim);
  if (!fields->status().ok()) return;

  // Transformers: one key head for each query head where null, 8 where not given.
  config->num_kv_heads =
      num_kv_heads.value_or(fields->Contains("num_key_value_heads") ? config->num_heads : 8);
  if (config->num_heads % config->num_kv_heads != 0) {
    fields->Refuse("num_key_value_heads",
                   absl::StrCat("a divisor of num_attention_heads (", config->num_heads, ")"));
  }
  if (!head_dim.has_value() && config->hidden_size % config->num_heads != 0) {
    fields->Refuse("head_dim", absl::StrCat("a number, for hidden_size (", config->hidden_size,
                                            ") is no multiple of num_attention_heads (",
                                            config->num_heads, ")"));
  }
  config->head_dim = head_dim.value_or(config->hidden_size / config->num_heads);
  if (config->head_dim % 2 != 0 ||
      static_cast<int64_t>(config->head_dim) * config->num_heads > kMaxWidth) {
    fields->Refuse("head_dim", absl::StrCat("an even number of at most ", kMaxWidth,
                                            " / num_attention_heads (hidden_size / "
                                            "num_attention_heads where it is not given)"));
  }
}

// One of the two places where RoPE is described. Returns its base, if it states one.
std::optional<double> ReadRope(const char* key, JsonFields* fields) {
  std::optional<double> theta;
  const nlohmann::json* rope = fields->Find(key);
  if (rope == nullptr) return theta;
  if (!rope->is_object()) {
    fields->Refuse(key, "an object or null");
    return theta;
  }
  const nlohmann::json* type = nullptr;
  for (const auto& [name, value] : rope->items()) {
    if (value.is_null()) continue;
    if (name == "rope_type" || (name == "type" && type == nullptr)) type = &value;
    if (name == "partial_rotary_factor" && value != 1) {
      fields->Refuse(key, "partial_rotary_factor 1", "only the default RoPE is supported");
    }
    if (value.is_object()) {
      fields->Refuse(key, "one rotation for all layers", "only the default RoPE is supported");
    }
  }
  const bool scaling_without_type = key == std::string_view("rope_scaling") && type == nullptr &&
                                    !rope->empty() && !rope->contains("rope_theta");
  if ((type != nullptr && *type != "default") || scaling_without_type) {
    fields->Refuse(key, "rope_type \"default\"",
                   "RoPE scaling (linear, dynamic, yarn, longrope, llama3) is not supported");
  }
  if (rope->contains("rope_theta")) {
    JsonFields inner(*rope, "rope_theta");
    inner.ReadNumber("rope_theta", 1e-6, 1e15, &theta);
    if (!inner.status().ok()) fields->Refuse(key, "a rope_theta in [1e-6, 1e15]");
  }
  return theta;
}

void ReadRotation(JsonFields* fields, MixtralConfig* config) {
  std::optional<double> theta;
  fields->ReadNumber("rope_theta", 1e-6, 1e15, &theta);
  std::optional<double> partial;
  fields->ReadNumber("partial_rotary_factor", 0, 1, &partial);
  if (partial.value_or(1) != 1) {
    fields->Refuse("partial_rotary_factor", "1 or none", "only the default RoPE is supported");
  }
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const std::optional<double> nested = ReadRope(key, fields);
    if (nested.has_value() && theta.value_or(*nested) != *nested) {
      fields->Refuse(key, absl::StrCat("the same rope_theta everywhere (", *theta, ")"),
                     "the file contradicts itself: keep the base that the model was trained with");
    }
    if (nested.has_value()) theta = nested;
  }
  config->rope_theta = theta.value_or(config->rope_theta);
}

void ReadDType(JsonFields* fields, MixtralConfig* config) {
  std::optional<std::string> name;
  fields->ReadString("torch_dtype", &name);
  fields->ReadString("dtype", &name);
  if (!name.has_value()) return;
  if (name->rfind("torch.", 0) == 0) name->erase(0, 6);
  if (*name == "float32") config->dtype = DType::kF32;
  if (*name == "bfloat16") config->dtype = DType::kBF16;
  if (*name == "float16") config->dtype = DType::kF16;
}

void ReadSpecialTokens(JsonFields* fields, MixtralConfig* config) {
  fields->ReadInt("bos_token_id", 0, config->vocab_size - 1, &config->bos_token_id);
  fields->ReadTokenIds("eos_token_id", &config->eos_token_ids);
  for (int id : config->eos_token_ids) {
    if (id >= config->vocab_size) {
      fields->Refuse("eos_token_id",
                     absl::StrCat("token ids below vocab_size (", config->vocab_size, ")"));
    }
  }
}

}  // namespace

absl::StatusOr<MixtralConfig> ParseMixtralConfig(std::string_view json, std::string_view source) {
  const absl::StatusOr<nlohmann::json> document =
      ParseJsonObject(json, source, kMaxConfigBytes, DuplicateKeys::kLastWins);
  if (!document.ok()) return document.status();
  JsonFields fields(*document, std::string(source));
  MixtralConfig config;
  CheckArchitecture(&fields);
  CheckNoVariations(&fields);
  ReadSizes(&fields, &config);
  ReadHeads(&fields, &config);
  ReadRotation(&fields, &config);
  ReadDType(&fields, &config);
  // 1e-30 is above the least normal float32, so that rsqrt(x + eps) stays finite for a zero row.
  std::optional<float> epsilon;
  fields.ReadNumber("rms_norm_eps", 1e-30, 1, &epsilon);
  config.rms_norm_eps = epsilon.value_or(config.rms_norm_eps);
  fields.ReadBool("tie_word_embeddings", &config.tie_word_embeddings);
  ReadSpecialTokens(&fields, &config);
  if (!fields.status().ok()) return fields.status();
  return config;
}

absl::StatusOr<MixtralConfig> ReadMixtralConfig(const std::string& path) {
  std::error_code ignored;  // a path that cannot be looked at cannot be read either
  const std::string file =
      std::filesystem::is_regular_file(path, ignored) ? path : absl::StrCat(path, "/config.json");
  const absl::StatusOr<std::string> text = ReadFile(file, kMaxConfigBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat(
        text.status().message(), "; expected the directory of a Hugging Face checkpoint"));
  }
  if (!text.ok()) return text.status();
  return ParseMixtralConfig(*text, file);
}

}  // namespace tramontane
