// The model that a coordinator serves, as requests and clients see it.
#ifndef TRAMONTANE_COORDINATOR_SERVED_MODEL_H_
#define TRAMONTANE_COORDINATOR_SERVED_MODEL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/tokenizer.h"

namespace tramontane {

// What a request that leaves a field out gets.
struct RequestDefaults {
  int max_tokens = 256;  // or what the context leaves, if that is less
  float temperature = 1.0f;
  int top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
};

// The checkpoint's defaults where it has them, else the API's. `do_sample: false` means greedy
// (temperature 0); where `do_sample` is absent the temperature is the file's, or 1.
// INVALID_ARGUMENT, naming the key, for a default that a request could not ask for either.
absl::StatusOr<RequestDefaults> RequestDefaultsFrom(const GenerationDefaults& checkpoint_defaults);

// Immutable once built; any thread may read it.
struct ServedModel {
  std::string name;
  std::string digest;         // hex SHA-256 of the checkpoint
  std::string compute_dtype;  // "bf16" or "f32"
  std::string backend;
  MixtralConfig config;
  std::vector<int> eos_token_ids;
  RequestDefaults defaults;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: token-id prompts only

  int context_length() const { return config.max_position_embeddings; }
  int routing_choices() const { return config.num_layers * config.top_k; }  // of one token
  std::optional<int> bos_token_id() const;  // the tokenizer's, else the config's
};

// What the checkpoint says, with its tokenizer where it has one; `backend` stays empty. Fails as
// RequestDefaultsFrom and Tokenizer::Load.
absl::StatusOr<ServedModel> DescribeServedModel(const Checkpoint& checkpoint, std::string name,
                                                std::string compute_dtype);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SERVED_MODEL_H_
