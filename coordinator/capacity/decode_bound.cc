#include "coordinator/capacity/decode_bound.h"

#include <algorithm>
#include <cmath>

#include "attention_worker/kv_cache/kv_cache.h"
#include "kernels/cpu/memory_size.h"

namespace tramontane {
namespace {

// Experts of one layer that `rows` rows reach, where each chooses top_k of them evenly.
double ExpertsTouched(const MixtralConfig& model, int64_t rows) {
  const double missed = 1.0 - static_cast<double>(model.top_k) / model.num_experts;
  return model.num_experts * (1.0 - std::pow(missed, static_cast<double>(rows)));
}

// Workers that host experts of the layer, replicas counted.
int64_t WorkersOf(const CapacityPlan& plan, int layer) {
  int64_t workers = 0;
  for (const ExpertShard& shard : plan.shards) {
    const int past = layer - shard.block.first_layer;
    if (past >= 0 && past < shard.block.num_layers) workers += plan.request.replicas;
  }
  return workers;
}

}  // namespace

DecodeBound BoundDecode(const CapacityPlan& plan, const ReadBandwidth& bandwidth, int64_t users) {
  const MixtralConfig& model = plan.request.model;
  const DType dtype = plan.request.compute_dtype;
  const double expert = static_cast<double>(
      cpu::PackedExpertBytes(model.hidden_size, model.intermediate_size, dtype));
  const double touched = ExpertsTouched(model, users);

  DecodeBound bound;
  bound.users = users;
  double expert_seconds = 0;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    // An expert's weights are read by one worker at least.
    const double at_once = std::min(static_cast<double>(WorkersOf(plan, layer)), touched);
    bound.expert_bytes += touched * expert;
    expert_seconds += touched * expert / (at_once * bandwidth.expert_worker);
  }
  const int64_t attention_users = std::min(users, plan.users_per_attention);
  bound.attention_bytes = static_cast<double>(plan.attention.Bytes(kWeightsItem) +
                                              attention_users * plan.request.context_tokens *
                                                  KvBytesPerToken(model, dtype));
  const double attention_seconds = bound.attention_bytes / bandwidth.attention;
  bound.step_seconds = plan.num_attention_workers > 1 ? std::max(expert_seconds, attention_seconds)
                                                      : expert_seconds + attention_seconds;
  bound.tokens_per_second = static_cast<double>(users) / bound.step_seconds;
  return bound;
}

}  // namespace tramontane
