// The weighted sum of the experts' answers.
#ifndef TRAMONTANE_KERNELS_COMBINE_EXPERTS_H_
#define TRAMONTANE_KERNELS_COMBINE_EXPERTS_H_

#include <cstddef>
#include <cstdint>

#include "model/dtype.h"

namespace tramontane {

// moe = sum over rank r (in order 0 … top_k-1, float32) of gating_weights[t, r] * expert row (t,
// r); residual[t] += moe. Rows by pointer, as they came off the wire; they need no alignment.
struct CombineExpertsArgs {
  const std::byte* const* expert_rows =
      nullptr;  // [num_tokens * top_k] to [hidden_size] of row_dtype
  DType row_dtype = DType::kF32;
  const float* gating_weights = nullptr;  // [num_tokens, top_k]
  float* residual = nullptr;              // [num_tokens, hidden_size], added to
  float* moe_output = nullptr;            // [num_tokens, hidden_size], written; null: not wanted
  int64_t num_tokens = 0;
  int64_t top_k = 0;
  int64_t hidden_size = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_COMBINE_EXPERTS_H_
