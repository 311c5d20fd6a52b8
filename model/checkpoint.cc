#include "model/checkpoint.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/architecture_tensors.h"
#include "model/check.h"
#include "model/checkpoint_digest.h"
#include "model/file.h"
#include "model/log.h"
#include "model/quote.h"
#include "model/weight_files.h"

namespace tramontane {
namespace {

constexpr uint64_t kMaxConfigFileBytes = 1 << 20;

// What generation_config.json says; the defaults where there is none.
absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(const std::string& directory,
                                                          int vocab_size) {
  const std::string path = absl::StrCat(directory, "/generation_config.json");
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigFileBytes);
  if (absl::IsNotFound(text.status())) return GenerationDefaults();
  if (!text.ok()) return text.status();
  absl::StatusOr<GenerationDefaults> defaults = ParseGenerationDefaults(*text, path);
  if (!defaults.ok()) return defaults.status();
  for (int id : defaults->eos_token_ids) {
    if (id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": \"eos_token_id\": expected token ids below vocab_size (",
                       vocab_size, "), found ", id, "; correct the file or download it again"));
    }
  }
  return defaults;
}

absl::Status MissingTensor(const WeightFiles& weights, const std::string& name) {
  std::string message =
      absl::StrCat(weights.listed_in, ": tensor ", Quote(name),
                   ": expected by config.json's architecture, found no such tensor; ");
  for (const auto& entry : weights.file_of_tensor) {
    if (entry.first.find(".mlp.experts.gate_up_proj") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          message, "the checkpoint has fused experts (", Quote(entry.first),
          "): save it with Transformers' save_pretrained, which writes one tensor for each"));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(message, "download the checkpoint again, or correct config.json"));
}

absl::Status CheckTensor(const WeightFiles& weights, const std::string& name,
                         const std::vector<int64_t>& shape) {
  const auto file = weights.file_of_tensor.find(name);
  if (file == weights.file_of_tensor.end()) return MissingTensor(weights, name);
  const absl::StatusOr<TensorView> tensor = file->second->Tensor(name);
  if (absl::IsNotFound(tensor.status())) {
    return absl::InvalidArgumentError(
        absl::StrCat(weights.listed_in, ": tensor ", Quote(name), ": expected in ",
                     file->second->path(), ", found no such tensor there; download both again"));
  }
  if (!tensor.ok()) return tensor.status();
  if (tensor->shape != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(file->second->path(), ": tensor ", Quote(name), ": expected shape ",
                     ShapeToString(shape), " by config.json, found ", ShapeToString(tensor->shape),
                     "; config.json and weights are not of the same checkpoint"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::Open(const std::string& directory) {
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->directory_ = directory;
  absl::StatusOr<MixtralConfig> config = ReadMixtralConfig(directory);
  if (!config.ok()) return config.status();
  absl::StatusOr<GenerationDefaults> defaults =
      ReadGenerationDefaults(directory, config->vocab_size);
  if (!defaults.ok()) return defaults.status();
  absl::StatusOr<WeightFiles> weights = OpenWeightFiles(directory);
  if (!weights.ok()) return weights.status();

  const absl::Status tensors = VisitArchitectureTensors(
      *config, [&](const std::string& name, const std::vector<int64_t>& shape) {
        const absl::Status status = CheckTensor(*weights, name, shape);
        if (status.ok()) {
          checkpoint->file_of_tensor_.emplace(name, weights->file_of_tensor.find(name)->second);
        }
        return status;
      });
  if (!tensors.ok()) return tensors;
  absl::StatusOr<std::string> digest =
      ComputeCheckpointDigest(*config, checkpoint->file_of_tensor_);
  if (!digest.ok()) return digest.status();

  checkpoint->config_ = *std::move(config);
  checkpoint->eos_token_ids_ =
      defaults->eos_token_ids.empty() ? checkpoint->config_.eos_token_ids : defaults->eos_token_ids;
  checkpoint->generation_defaults_ = *std::move(defaults);
  checkpoint->digest_ = *std::move(digest);
  checkpoint->files_ = std::move(weights->files);
  for (const auto& [name, file] : weights->file_of_tensor) {
    if (checkpoint->file_of_tensor_.count(name) == 0) {
      Log(LogLevel::kDebug, "tensor not used", {{"tensor", name}, {"file", file->path()}});
    }
  }
  const auto elapsed = std::chrono::steady_clock::now() - start;
  Log(LogLevel::kInfo, "checkpoint opened",
      {{"directory", directory},
       {"files", checkpoint->files_.size()},
       {"tensors", checkpoint->file_of_tensor_.size()},
       {"digest", checkpoint->digest_},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count()}});
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

TensorView Checkpoint::Find(const std::string& name) const {
  const auto file = file_of_tensor_.find(name);
  TRAMONTANE_CHECK(file != file_of_tensor_.end());
  absl::StatusOr<TensorView> tensor = file->second->Tensor(name);
  TRAMONTANE_CHECK(tensor.ok());
  return *std::move(tensor);
}

TensorView Checkpoint::Embedding() const { return Find(kEmbeddingName); }

TensorView Checkpoint::FinalNorm() const { return Find(kFinalNormName); }

TensorView Checkpoint::LmHead() const {
  return Find(config_.tie_word_embeddings ? kEmbeddingName : kLmHeadName);
}

AttentionTensors Checkpoint::Attention(int layer) const {
  TRAMONTANE_CHECK(layer >= 0 && layer < config_.num_layers);
  AttentionTensors tensors;
  tensors.input_norm = Find(LayerTensorName(layer, "input_layernorm"));
  tensors.q_proj = Find(LayerTensorName(layer, "self_attn.q_proj"));
  tensors.k_proj = Find(LayerTensorName(layer, "self_attn.k_proj"));
  tensors.v_proj = Find(LayerTensorName(layer, "self_attn.v_proj"));
  tensors.o_proj = Find(LayerTensorName(layer, "self_attn.o_proj"));
  tensors.post_attention_norm = Find(LayerTensorName(layer, "post_attention_layernorm"));
  tensors.gate = Find(LayerTensorName(layer, "block_sparse_moe.gate"));
  return tensors;
}

ExpertTensors Checkpoint::Expert(int layer, int expert) const {
  TRAMONTANE_CHECK(layer >= 0 && layer < config_.num_layers);
  TRAMONTANE_CHECK(expert >= 0 && expert < config_.num_experts);
  return {Find(ExpertTensorName(layer, expert, "w1")), Find(ExpertTensorName(layer, expert, "w3")),
          Find(ExpertTensorName(layer, expert, "w2"))};
}

void Checkpoint::WillRead(const TensorView& tensor) const {
  const auto file = file_of_tensor_.find(tensor.name);
  TRAMONTANE_CHECK(file != file_of_tensor_.end());
  file->second->WillRead(tensor);
}

void Checkpoint::DropPages(const TensorView& tensor) const {
  const auto file = file_of_tensor_.find(tensor.name);
  TRAMONTANE_CHECK(file != file_of_tensor_.end());
  file->second->DropPages(tensor);
}

}  // namespace tramontane
