// Built with -mavx2 -mfma where the target is x86-64.
#include "kernels/cpu/isa_table.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/cpu/simd_avx2.h"
#endif

namespace tramontane::cpu {

const IsaKernels* Avx2Kernels() {
#if defined(__AVX2__) && defined(__FMA__)
  static constexpr IsaKernels kTable = MakeTable<SimdAvx2, Bf16Units<SimdAvx2>, 5, 5>("avx2");
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tramontane::cpu
