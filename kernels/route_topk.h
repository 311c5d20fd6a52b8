// The router: which experts a token goes to, and with what weight.
#ifndef TRAMONTANE_KERNELS_ROUTE_TOPK_H_
#define TRAMONTANE_KERNELS_ROUTE_TOPK_H_

#include <cstdint>

namespace tramontane {

// As Mixtral's: softmax over all experts in float32, the top_k largest in order of weight (the
// lower expert id first where two are equal), renormalised to sum to 1.
struct RouteTopKArgs {
  const float* router_logits = nullptr;  // [num_tokens, num_experts]
  int32_t* topk_expert_ids = nullptr;    // [num_tokens, top_k], written
  float* gating_weights = nullptr;       // [num_tokens, top_k], written
  int64_t num_tokens = 0;
  int64_t num_experts = 0;
  int64_t top_k = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ROUTE_TOPK_H_
