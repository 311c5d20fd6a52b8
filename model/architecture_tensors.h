// The tensors of a `MixtralForCausalLM`: their names, as Transformers writes them, and shapes.
#ifndef TRAMONTANE_MODEL_ARCHITECTURE_TENSORS_H_
#define TRAMONTANE_MODEL_ARCHITECTURE_TENSORS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/config.h"

namespace tramontane {

inline constexpr char kEmbeddingName[] = "model.embed_tokens.weight";
inline constexpr char kFinalNormName[] = "model.norm.weight";
inline constexpr char kLmHeadName[] = "lm_head.weight";

// "model.layers.LAYER.PART.weight"
std::string LayerTensorName(int layer, const std::string& part);

// "model.layers.LAYER.block_sparse_moe.experts.EXPERT.MATRIX.weight"
std::string ExpertTensorName(int layer, int expert, const std::string& matrix);

// Calls `visit` with each tensor's name and shape, in the order of the forward pass; the LM head is
// left out where it is tied to the embedding. Stops at, and returns, the first error.
absl::Status VisitArchitectureTensors(
    const MixtralConfig& config,
    const std::function<absl::Status(const std::string& name, const std::vector<int64_t>& shape)>&
        visit);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_ARCHITECTURE_TENSORS_H_
