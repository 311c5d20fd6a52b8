// The experts of a layer for tokens whose routing lies in the backend's own memory.
#ifndef TRAMONTANE_KERNELS_ROUTED_EXPERTS_H_
#define TRAMONTANE_KERNELS_ROUTED_EXPERTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/packed_matrix.h"

namespace tramontane {

// ExpertFfn for experts beside the attention: row (t, r) of the output is the answer of expert
// topk_expert_ids[t, r] to row t, unweighted, of the same bits. Which rows go where is read when
// the operation runs, so that a whole step can be queued.
struct RoutedExpertsArgs {
  std::span<const PackedExpert* const> experts;  // [num_experts] of the layer: a list, as are
                                                 // token ids (kernels/backend.h)
  const std::byte* input = nullptr;              // [num_tokens, hidden_size] of compute dtype
  const int32_t* topk_expert_ids = nullptr;      // [num_tokens, top_k], each in [0, num_experts),
                                                 // those of one token distinct
  std::byte* output = nullptr;  // [num_tokens, top_k, hidden_size] of compute dtype, written
  int64_t num_tokens = 0;
  int64_t top_k = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ROUTED_EXPERTS_H_
