// Built with -mavx512f -mavx512bw -mavx512dq -mavx512vl where the target is x86-64.
#include "kernels/cpu/isa_table.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define TRAMONTANE_HAS_AVX512
#include "kernels/cpu/simd_avx512.h"
#endif

namespace tramontane::cpu {

const IsaKernels* Avx512Kernels() {
#ifdef TRAMONTANE_HAS_AVX512
  static constexpr IsaKernels kTable =
      MakeTable<SimdAvx512, Bf16Units<SimdAvx512>, 6, 24>("avx512");
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tramontane::cpu
