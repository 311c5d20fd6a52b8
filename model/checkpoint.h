// A Hugging Face `MixtralForCausalLM` directory: config, tensors by their role, and identity.
#ifndef TRAMONTANE_MODEL_CHECKPOINT_H_
#define TRAMONTANE_MODEL_CHECKPOINT_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "model/tensor_view.h"

namespace tramontane {

// The tensors of one layer that an attention worker hosts.
struct AttentionTensors {
  TensorView input_norm;           // [hidden_size]
  TensorView q_proj;               // [num_heads * head_dim, hidden_size]
  TensorView k_proj;               // [num_kv_heads * head_dim, hidden_size]
  TensorView v_proj;               // [num_kv_heads * head_dim, hidden_size]
  TensorView o_proj;               // [hidden_size, num_heads * head_dim]
  TensorView post_attention_norm;  // [hidden_size]
  TensorView gate;                 // [num_experts, hidden_size]
};

// One expert's feed-forward block: w2(silu(w1 x) * (w3 x)).
struct ExpertTensors {
  TensorView w1;  // [intermediate_size, hidden_size]
  TensorView w3;  // [intermediate_size, hidden_size]
  TensorView w2;  // [hidden_size, intermediate_size]
};

// An opened checkpoint directory. Immutable after Open; any thread may read it. Opening reads
// config, index and safetensors headers, checks that every tensor of the architecture is there with
// its shape and a weight dtype, and touches no weight beyond the digest's probes.
class Checkpoint {
 public:
  // NOT_FOUND for a missing directory, file or shard; INVALID_ARGUMENT for whatever is wrong with
  // one; PERMISSION_DENIED or UNAVAILABLE where the system refuses to read it. The message names
  // file, tensor, expected and found. docs/checkpoints.md has every rule.
  static absl::StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const MixtralConfig& config() const { return config_; }
  const GenerationDefaults& generation_defaults() const { return generation_defaults_; }
  // End-of-sequence ids: generation_config.json's where given, else config.json's.
  const std::vector<int>& eos_token_ids() const { return eos_token_ids_; }

  // Lower-case hex SHA-256 over the architecture's sizes and each tensor's name, dtype, shape and
  // probed bytes (see docs/checkpoints.md). Does not depend on how the tensors are sharded.
  const std::string& digest() const { return digest_; }

  TensorView Embedding() const;  // [vocab_size, hidden_size]
  TensorView FinalNorm() const;  // [hidden_size]
  TensorView LmHead() const;     // [vocab_size, hidden_size]; the embedding where tied
  AttentionTensors Attention(int layer) const;
  ExpertTensors Expert(int layer, int expert) const;

  // Paging advice around a one-time read of a tensor of this checkpoint; see SafetensorsFile.
  void WillRead(const TensorView& tensor) const;
  void DropPages(const TensorView& tensor) const;

 private:
  Checkpoint() = default;
  TensorView Find(const std::string& name) const;

  std::string directory_;
  MixtralConfig config_;
  GenerationDefaults generation_defaults_;
  std::vector<int> eos_token_ids_;
  std::string digest_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*, std::less<>> file_of_tensor_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_CHECKPOINT_H_
