// The expert feed-forward block, w2(silu(w1 x) * (w3 x)), for the routed tokens of several experts.
#ifndef TRAMONTANE_KERNELS_EXPERT_FFN_H_
#define TRAMONTANE_KERNELS_EXPERT_FFN_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/packed_matrix.h"
#include "model/dtype.h"

namespace tramontane {

// One expert and the rows that go to it. Row pointers, not a matrix: rows are read where the
// network or the attention worker left them. They need no alignment.
struct ExpertRows {
  const PackedExpert* expert = nullptr;
  std::span<const std::byte* const> input;  // [num_rows] pointers to [hidden_size] of compute dtype
  std::byte* output = nullptr;              // [num_rows, hidden_size] of compute dtype, written
};

// Products accumulate in float32; silu(w1 x) * (w3 x) is rounded once to the compute dtype, the
// answer likewise. No bit of a row depends on the other rows or experts of the call. An expert may
// appear in several groups.
struct ExpertFfnArgs {
  std::span<const ExpertRows> groups;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_EXPERT_FFN_H_
