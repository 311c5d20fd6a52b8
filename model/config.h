// What a Mixtral checkpoint says of itself: `config.json` and `generation_config.json`.
#ifndef TRAMONTANE_MODEL_CONFIG_H_
#define TRAMONTANE_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/dtype.h"

namespace tramontane {

// The sizes and constants of one `MixtralForCausalLM`. Plain values; all positive unless said.
struct MixtralConfig {
  int num_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_experts = 0;
  int top_k = 0;  // experts a token, at most num_experts
  int num_heads = 0;
  int num_kv_heads = 0;  // divides num_heads
  int head_dim = 0;      // even; not always hidden_size / num_heads
  int vocab_size = 0;
  int max_position_embeddings = 0;    // the context, in tokens
  std::optional<int> sliding_window;  // a query at p sees the keys in (p - window, p]
  float rms_norm_eps = 1e-5f;
  double rope_theta = 1e6;
  bool tie_word_embeddings = false;
  std::optional<DType> dtype;  // what the config claims; each tensor states its own
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_ids;  // may be empty
};

// Sampling defaults of `generation_config.json`; absent values are the API's defaults.
struct GenerationDefaults {
  std::optional<bool> do_sample;  // false means greedy: temperature 0
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<int> max_new_tokens;
  std::vector<int> eos_token_ids;  // where given, these stand in for the config's
};

// Reads the JSON text of a `config.json`. `source` names the file in errors. Fails with
// INVALID_ARGUMENT for malformed JSON, a missing or ill-typed key, a value out of range, another
// architecture or a RoPE type that is not supported; the message names key, expected and found.
absl::StatusOr<MixtralConfig> ParseMixtralConfig(std::string_view json, std::string_view source);

// Reads and parses a `config.json`: `path` is the file, or the directory it lies in. No other file
// is needed. NOT_FOUND where there is none; else as ReadFile and ParseMixtralConfig.
absl::StatusOr<MixtralConfig> ReadMixtralConfig(const std::string& path);

// As ParseMixtralConfig, for `generation_config.json`.
absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(std::string_view json,
                                                           std::string_view source);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_CONFIG_H_
