#include "attention_worker/activations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/round_up.h"

namespace tramontane {
namespace {

enum class Place { kOwn, kShared };

// So that rows behind a routing are aligned as they were without it.
constexpr size_t kRowAlignment = 64;

struct ActivationSize {
  RowBuffer Activations::*buffer;
  Place place;
  size_t row_bytes;
  int64_t num_rows;

  size_t num_bytes() const { return static_cast<size_t>(num_rows) * row_bytes; }
};

std::vector<ActivationSize> ActivationSizes(const MixtralConfig& config, DType compute_dtype,
                                            const ActivationOptions& options,
                                            bool host_sees_memory) {
  const size_t compute_size = DTypeSize(compute_dtype);
  const auto hidden = static_cast<size_t>(config.hidden_size);
  const auto head_dim = static_cast<size_t>(config.head_dim);
  const auto qkv = static_cast<size_t>(config.num_heads + 2 * config.num_kv_heads) * head_dim;
  const auto top_k = static_cast<size_t>(config.top_k);
  const int64_t max_rows = options.max_rows;
  const int64_t logit_rows = std::min<int64_t>(max_rows, kMaxLogitRows);
  const size_t routing_row =
      config.num_experts * sizeof(float) + top_k * (sizeof(int32_t) + sizeof(float));
  const int64_t routings = max_rows * config.num_layers;
  const size_t normed_row = RoundUp(hidden * compute_size, sizeof(float)) +
                            (options.local_experts ? 0 : RoundUp(routing_row, kRowAlignment));
  using A = Activations;
  std::vector<ActivationSize> sizes = {
      {&A::residual, Place::kOwn, hidden * sizeof(float), max_rows},
      {&A::normed, Place::kOwn, normed_row, max_rows},
      {&A::qkv, Place::kOwn, qkv * sizeof(float), max_rows},
      {&A::attended, Place::kOwn, config.num_heads * head_dim * compute_size, max_rows},
      {&A::moe_output, Place::kShared, hidden * sizeof(float), max_rows},
      {&A::logits, Place::kOwn, config.vocab_size * sizeof(float), logit_rows},
  };
  if (options.local_experts) {
    sizes.push_back({&A::routing, Place::kOwn, routing_row, routings});
    sizes.push_back({&A::expert_rows, Place::kOwn, top_k * hidden * compute_size, max_rows});
  }
  if (!host_sees_memory) {
    if (options.local_experts) {
      sizes.push_back({&A::host_routing, Place::kShared, routing_row, routings});
    } else {
      sizes.push_back({&A::sent, Place::kShared, normed_row, max_rows});
    }
    sizes.push_back({&A::layer_output, Place::kShared, hidden * sizeof(float), max_rows});
    sizes.push_back(
        {&A::host_logits, Place::kShared, config.vocab_size * sizeof(float), logit_rows});
    sizes.push_back({&A::sampled_ids, Place::kShared, sizeof(int32_t), logit_rows});
  }
  return sizes;
}

}  // namespace

Routing RoutingAt(std::byte* block, int64_t index, int64_t count, int64_t num_rows,
                  const MixtralConfig& config) {
  const int64_t logits = num_rows * config.num_experts;
  const int64_t choices = num_rows * config.top_k;
  auto* const router_logits = reinterpret_cast<float*>(block);
  auto* const expert_ids = reinterpret_cast<int32_t*>(router_logits + count * logits);
  auto* const gating_weights = reinterpret_cast<float*>(expert_ids + count * choices);
  return {router_logits + index * logits, expert_ids + index * choices,
          gating_weights + index * choices};
}

absl::StatusOr<Activations> AllocateActivations(const MixtralConfig& config,
                                                const ActivationOptions& options,
                                                Backend* backend) {
  Activations activations;
  for (const ActivationSize& size :
       ActivationSizes(config, backend->compute_dtype(), options, backend->host_sees_memory())) {
    absl::StatusOr<Buffer> allocated = size.place == Place::kOwn
                                           ? backend->Allocate(size.num_bytes())
                                           : backend->AllocateShared(size.num_bytes());
    if (!allocated.ok()) return allocated.status();
    activations.*size.buffer = {*std::move(allocated), size.row_bytes};
  }
  return activations;
}

int64_t ActivationBytes(const MixtralConfig& config, DType compute_dtype, int max_rows) {
  size_t num_bytes = 0;
  for (const ActivationSize& size : ActivationSizes(
           config, compute_dtype, {.max_rows = max_rows, .local_experts = false}, true)) {
    num_bytes += size.num_bytes();
  }
  return static_cast<int64_t>(num_bytes);
}

}  // namespace tramontane
