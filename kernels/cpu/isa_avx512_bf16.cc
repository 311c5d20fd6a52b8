// Built with AVX-512's flags and -mavx512bf16 where the target is x86-64.
#include "kernels/cpu/isa.h"

#if defined(__AVX512BF16__)
#define TRAMONTANE_HAS_AVX512_BF16
#include "kernels/cpu/attend_bf16.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/simd_avx512.h"
#endif

namespace tramontane::cpu {

#ifdef TRAMONTANE_HAS_AVX512_BF16
namespace {

// bf16 pairs by vdpbf16ps: both products of a pair go to the one sum, subnormals are taken as 0.
struct Bf16Dot {
  using Simd = SimdAvx512;
  using W = __m512bh;
  using A = __m512bh;
  static constexpr int kSteps = 1;

  template <int kStep>
  TRAMONTANE_INLINE static W Weights(const std::byte* line) {
    return __builtin_bit_cast(__m512bh, _mm512_loadu_si512(line));
  }
  template <int kStep>
  TRAMONTANE_INLINE static A Input(uint32_t unit) {
    return __builtin_bit_cast(__m512bh, _mm512_set1_epi32(static_cast<int>(unit)));
  }
  TRAMONTANE_INLINE static __m512 MulAdd(__m512 sum, W w, A a) {
    return _mm512_dpbf16_ps(sum, w, a);
  }
};

void GemmBf16Dot(const GemmTile& tile) { RunGemmTile<Bf16Dot, 6, 24>(tile); }

void AttendBf16(const AttentionTask& task) { Bf16Attention(task).Run(); }

}  // namespace

// All but the products of bf16 is AVX-512's.
const IsaKernels* Avx512Bf16Kernels() {
  static const IsaKernels table = [] {
    IsaKernels kernels = *Avx512Kernels();
    kernels.name = "avx512_bf16";
    kernels.gemm_bf16 = &GemmBf16Dot;
    kernels.attend_bf16 = &AttendBf16;
    kernels.attend_bf16_queries = kMaxAttendQueries;
    return kernels;
  }();
  return &table;
}
#else
const IsaKernels* Avx512Bf16Kernels() { return nullptr; }
#endif

}  // namespace tramontane::cpu
