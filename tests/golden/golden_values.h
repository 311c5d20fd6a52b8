// Values that Hugging Face Transformers computed; see README.md in this folder.
#ifndef TRAMONTANE_TESTS_GOLDEN_GOLDEN_VALUES_H_
#define TRAMONTANE_TESTS_GOLDEN_GOLDEN_VALUES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace tramontane {

// One prompt and its tensors. T tokens, L layers, H hidden size, E experts, K top-k, V vocabulary.
struct GoldenCase {
  std::vector<int32_t> prompt_token_ids;  // [T]
  std::vector<int32_t> greedy_token_ids;  // what follows
  std::optional<double> mean_nll;         // of the prompt, nats; none for one token
  std::vector<double> prompt_logprobs;    // [T], the first is 0; empty where not recorded
  std::vector<float> embedding;           // [T, H]
  std::vector<float> layer_output;        // [L, T, H]
  std::vector<float> moe_output;          // [L, T, H]
  std::vector<float> router_logits;       // [L, T, E]
  std::vector<int32_t> router_experts;    // [L, T, K]
  std::vector<float> router_weights;      // [L, T, K]
  std::vector<float> logits;              // [T, V]
};

// The cases of FOLDER/golden.json and FOLDER/golden.safetensors. As SafetensorsFile::Open, and
// INVALID_ARGUMENT for JSON of another form.
absl::StatusOr<std::vector<GoldenCase>> ReadGoldenCases(const std::string& folder);

// Held-out text and what the demo model makes of it.
struct GoldenWindows {
  std::vector<std::vector<int32_t>> windows;  // token ids, BOS first
  int64_t scored_tokens = 0;                  // all but the first of each window
  double perplexity_f32 = 0.0;                // over all scored tokens
  double perplexity_bf16 = 0.0;
  std::vector<std::vector<int64_t>> expert_tokens;  // [L][E] (token, choice) pairs
};
absl::StatusOr<GoldenWindows> ReadGoldenWindows(const std::string& folder);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_GOLDEN_GOLDEN_VALUES_H_
