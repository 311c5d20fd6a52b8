#include "coordinator/capacity/expert_shards.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/capacity/capacity_plan.h"

namespace tramontane {
namespace {

// Most experts and layers of a block.
struct BlockSize {
  int num_experts = 0;
  int num_layers = 0;
};

int64_t Pieces(int64_t count, int64_t most) { return (count + most - 1) / most; }

// Where piece `i` of `pieces` of [0, count) begins: pieces differ by one at most.
int Begin(int count, int64_t pieces, int64_t i) { return static_cast<int>(count * i / pieces); }

// Layers of `num_experts` experts that a worker holds; 0: not even one.
int LayersThatFit(const CapacityRequest& request, int num_experts, int64_t usable_bytes,
                  int64_t num_attention) {
  const ProcessMemory one = ExpertWorkerMemory(request, {0, 1, 0, num_experts}, num_attention);
  const int64_t layer = one.Bytes(kWeightsItem);
  const int64_t left = usable_bytes - (one.total() - layer);
  return static_cast<int>(std::clamp<int64_t>(left / layer, 0, request.model.num_layers));
}

absl::Status DoesNotFit(const CapacityRequest& request, int num_layers, int64_t usable_bytes,
                        int64_t num_attention, const char* advice) {
  const int64_t needed = ExpertWorkerMemory(request, {0, num_layers, 0, 1}, num_attention).total();
  return absl::FailedPreconditionError(absl::StrCat(
      "an expert worker with one expert of ", num_layers == 1 ? "one layer" : "every layer",
      " needs ", BytesText(needed), "; --expert_memory leaves ", BytesText(usable_bytes),
      " after a headroom of ", request.headroom_percent, "%: ", advice));
}

}  // namespace

absl::StatusOr<std::vector<ExpertBlock>> DivideExperts(const CapacityRequest& request,
                                                       int64_t usable_bytes,
                                                       int64_t num_attention) {
  const MixtralConfig& model = request.model;
  const int most = request.max_experts_per_shard > 0
                       ? std::min(request.max_experts_per_shard, model.num_experts)
                       : model.num_experts;
  BlockSize best;
  int64_t fewest = 0;
  // From few experts to many: of equally many blocks those with the fewest experts stay.
  for (int experts = 1; experts <= most; ++experts) {
    const int layers = LayersThatFit(request, experts, usable_bytes, num_attention);
    if (layers == 0) break;
    const bool whole = layers == model.num_layers;
    if (!whole && best.num_layers == model.num_layers) break;
    const int64_t blocks = Pieces(model.num_experts, experts) * Pieces(model.num_layers, layers);
    if (fewest == 0 || blocks < fewest) {
      best = {experts, layers};
      fewest = blocks;
    }
  }
  if (fewest == 0) {
    return DoesNotFit(request, 1, usable_bytes, num_attention,
                      "give more, or plan for --compute=bf16 or a smaller --max_step_tokens");
  }
  if (best.num_layers < model.num_layers && !request.split_layers) {
    return DoesNotFit(request, model.num_layers, usable_bytes, num_attention,
                      "give more, or allow --split_layers");
  }
  const int64_t expert_pieces = Pieces(model.num_experts, best.num_experts);
  const int64_t layer_pieces = Pieces(model.num_layers, best.num_layers);
  std::vector<ExpertBlock> blocks;
  for (int64_t l = 0; l < layer_pieces; ++l) {
    const int first_layer = Begin(model.num_layers, layer_pieces, l);
    const int end_layer = Begin(model.num_layers, layer_pieces, l + 1);
    for (int64_t e = 0; e < expert_pieces; ++e) {
      const int first_expert = Begin(model.num_experts, expert_pieces, e);
      const int end_expert = Begin(model.num_experts, expert_pieces, e + 1);
      blocks.push_back(
          {first_layer, end_layer - first_layer, first_expert, end_expert - first_expert});
    }
  }
  return blocks;
}

}  // namespace tramontane
