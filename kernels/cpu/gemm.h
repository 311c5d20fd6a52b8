// Rows times panels: how a matrix product is cut into tasks, and a task into tiles.
#ifndef TRAMONTANE_KERNELS_CPU_GEMM_H_
#define TRAMONTANE_KERNELS_CPU_GEMM_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/cpu/packed_panels.h"

namespace tramontane::cpu {

// Rows of one input times one packed matrix. Several make one call, whose tasks fill all threads.
struct GemmProblem {
  const PackedPanels* weights = nullptr;
  const std::byte* const* rows = nullptr;  // [num_rows], to [in_features] of compute dtype
  int64_t num_rows = 0;
};

// What a task has computed: the sums of some rows for one panel.
struct GemmBlock {
  size_t problem = 0;
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t panel = 0;
  const float* sums = nullptr;  // [num_rows][kPanelColumns]
};

// Computes all problems in parallel; calls `epilogue` for each block, from any thread.
void RunGemm(Context& context, const std::vector<GemmProblem>& problems,
             absl::FunctionRef<void(const GemmBlock& block)> epilogue);

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_GEMM_H_
