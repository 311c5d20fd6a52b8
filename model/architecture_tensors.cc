#include "model/architecture_tensors.h"

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

using Visitor =
    std::function<absl::Status(const std::string& name, const std::vector<int64_t>& shape)>;

absl::Status VisitLayer(const MixtralConfig& config, int layer, const Visitor& visit) {
  const int64_t hidden = config.hidden_size;
  const int64_t intermediate = config.intermediate_size;
  const int64_t query = static_cast<int64_t>(config.num_heads) * config.head_dim;
  const int64_t key_value = static_cast<int64_t>(config.num_kv_heads) * config.head_dim;
  const struct {
    const char* part;
    std::vector<int64_t> shape;
  } parts[] = {
      {"input_layernorm", {hidden}},
      {"self_attn.q_proj", {query, hidden}},
      {"self_attn.k_proj", {key_value, hidden}},
      {"self_attn.v_proj", {key_value, hidden}},
      {"self_attn.o_proj", {hidden, query}},
      {"post_attention_layernorm", {hidden}},
      {"block_sparse_moe.gate", {config.num_experts, hidden}},
  };
  for (const auto& part : parts) {
    const absl::Status status = visit(LayerTensorName(layer, part.part), part.shape);
    if (!status.ok()) return status;
  }
  const struct {
    const char* matrix;
    std::vector<int64_t> shape;
  } matrices[] = {
      {"w1", {intermediate, hidden}},
      {"w3", {intermediate, hidden}},
      {"w2", {hidden, intermediate}},
  };
  for (int expert = 0; expert < config.num_experts; ++expert) {
    for (const auto& matrix : matrices) {
      const absl::Status status =
          visit(ExpertTensorName(layer, expert, matrix.matrix), matrix.shape);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string LayerTensorName(int layer, const std::string& part) {
  return absl::StrCat("model.layers.", layer, ".", part, ".weight");
}

std::string ExpertTensorName(int layer, int expert, const std::string& matrix) {
  return LayerTensorName(layer, absl::StrCat("block_sparse_moe.experts.", expert, ".", matrix));
}

absl::Status VisitArchitectureTensors(const MixtralConfig& config, const Visitor& visit) {
  absl::Status status = visit(kEmbeddingName, {config.vocab_size, config.hidden_size});
  if (!status.ok()) return status;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    status = VisitLayer(config, layer, visit);
    if (!status.ok()) return status;
  }
  status = visit(kFinalNormName, {config.hidden_size});
  if (!status.ok() || config.tie_word_embeddings) return status;
  return visit(kLmHeadName, {config.vocab_size, config.hidden_size});
}

}  // namespace tramontane
