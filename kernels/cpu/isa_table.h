// Fills a table with the kernels of one instruction set.
#ifndef TRAMONTANE_KERNELS_CPU_ISA_TABLE_H_
#define TRAMONTANE_KERNELS_CPU_ISA_TABLE_H_

#include "kernels/cpu/attend.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm_tile.h"

namespace tramontane::cpu {

// S: the Simd… struct; Bf16: how bf16 units are multiplied; kMaxRows rows and kSums sixteens of
// sums fit the registers.
template <typename S, typename Bf16, int kMaxRows, int kSums>
constexpr IsaKernels MakeTable(std::string_view name) {
  return {
      .name = name,
      .max_tile_rows = kMaxRows,
      .gemm_bf16 = &RunGemmTile<Bf16, kMaxRows, kSums>,
      .gemm_f32 = &RunGemmTile<F32Units<S>, kMaxRows, kSums>,
      .swiglu = &SwiGlu<S>,
      .store = &StoreFloats<S>,
      .widen = &Widen<S>,
      .rms_norm = &RmsNorm<S>,
      .rotate = &Rotate<S>,
      .attend = &Attend<S>,
      .attend_bf16 = &Attend<S>,
      .softmax = &Softmax<S>,
      .combine = &Combine<S>,
      .transpose_units = &TransposeUnits<S>,
  };
}

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ISA_TABLE_H_
