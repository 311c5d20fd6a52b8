// Sixteen float32 lanes in one AVX-512 register. Only for translation units built with -mavx512f.
#ifndef TRAMONTANE_KERNELS_CPU_SIMD_AVX512_H_
#define TRAMONTANE_KERNELS_CPU_SIMD_AVX512_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/always_inline.h"

namespace tramontane::cpu {

// Every Simd… struct has these names. Kernels are templates over them, so an operation's order of
// additions is written once: sixteen lanes, one rounding per operation, reductions in one tree.
struct SimdAvx512 {
  using F = __m512;
  // Sums for each of four rows that registers hold.
  static constexpr int kSumsOfFour = 4;

  TRAMONTANE_INLINE static F Zero() { return _mm512_setzero_ps(); }
  TRAMONTANE_INLINE static F Set(float x) { return _mm512_set1_ps(x); }
  TRAMONTANE_INLINE static F Load(const float* p) { return _mm512_loadu_ps(p); }
  TRAMONTANE_INLINE static void Store(float* p, F x) { _mm512_storeu_ps(p, x); }
  TRAMONTANE_INLINE static F LoadFirst(const float* p, int n) {
    return _mm512_maskz_loadu_ps(First(n), p);
  }
  TRAMONTANE_INLINE static void StoreFirst(float* p, F x, int n) {
    _mm512_mask_storeu_ps(p, First(n), x);
  }
  TRAMONTANE_INLINE static F LoadBf16(const void* p) {
    return Widen(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  TRAMONTANE_INLINE static F LoadBf16First(const void* p, int n) {
    return Widen(_mm256_maskz_loadu_epi16(First(n), p));
  }
  TRAMONTANE_INLINE static void StoreBf16(void* p, F x) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), Round(x));
  }
  TRAMONTANE_INLINE static void StoreBf16First(void* p, F x, int n) {
    _mm256_mask_storeu_epi16(p, First(n), Round(x));
  }

  TRAMONTANE_INLINE static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  TRAMONTANE_INLINE static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  TRAMONTANE_INLINE static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  TRAMONTANE_INLINE static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  TRAMONTANE_INLINE static F MulAdd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  TRAMONTANE_INLINE static F NegMulAdd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  TRAMONTANE_INLINE static F Max(F a, F b) { return _mm512_max_ps(a, b); }
  TRAMONTANE_INLINE static F Min(F a, F b) { return _mm512_min_ps(a, b); }

  TRAMONTANE_INLINE static F RoundToInt(F x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  TRAMONTANE_INLINE static F TwoToThe(F n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
  }
  TRAMONTANE_INLINE static F ZeroBelow(F x, F bound, F y) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), y);
  }
  TRAMONTANE_INLINE static F KeepLanes(F x, int begin, int end, float otherwise) {
    const __mmask16 kept = static_cast<__mmask16>(First(end) & ~First(begin));
    return _mm512_mask_mov_ps(_mm512_set1_ps(otherwise), kept, x);
  }

  // The lanes' sum: i with i + 8, then + 4, + 2, + 1.
  TRAMONTANE_INLINE static float Sum(F x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  TRAMONTANE_INLINE static float MaxLane(F x) {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
  }

  // Lines of sixteen 32-bit units, each unit two bf16: the even ones, the odd ones.
  TRAMONTANE_INLINE static F EvenBf16(const void* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  TRAMONTANE_INLINE static F OddBf16(const void* p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }

  // rows[i] lane j <-> rows[j] lane i.
  TRAMONTANE_INLINE static void Transpose(F rows[16]) {
    F t[16];
    for (int i = 0; i < 16; i += 4) {
      const F ab_low = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      const F ab_high = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
      const F cd_low = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]);
      const F cd_high = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
      t[i] = _mm512_shuffle_ps(ab_low, cd_low, 0x44);
      t[i + 1] = _mm512_shuffle_ps(ab_low, cd_low, 0xee);
      t[i + 2] = _mm512_shuffle_ps(ab_high, cd_high, 0x44);
      t[i + 3] = _mm512_shuffle_ps(ab_high, cd_high, 0xee);
    }
    // t[4 g + c] holds, in its 128-bit part q, column 4 q + c of rows 4 g … 4 g + 3.
    for (int c = 0; c < 4; ++c) {
      const F low01 = _mm512_shuffle_f32x4(t[c], t[4 + c], 0x44);
      const F high01 = _mm512_shuffle_f32x4(t[c], t[4 + c], 0xee);
      const F low23 = _mm512_shuffle_f32x4(t[8 + c], t[12 + c], 0x44);
      const F high23 = _mm512_shuffle_f32x4(t[8 + c], t[12 + c], 0xee);
      rows[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
      rows[4 + c] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
      rows[8 + c] = _mm512_shuffle_f32x4(high01, high23, 0x88);
      rows[12 + c] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
  }

 private:
  TRAMONTANE_INLINE static __mmask16 First(int n) {
    return static_cast<__mmask16>((uint32_t{1} << n) - 1);
  }
  TRAMONTANE_INLINE static F Widen(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // To nearest even; a NaN stays a NaN. Not vcvtneps2bf16, which flushes subnormals.
  TRAMONTANE_INLINE static __m256i Round(F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i top = _mm512_srli_epi32(bits, 16);
    const __m512i lsb = _mm512_and_si512(top, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(bits, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(
        _mm512_mask_or_epi32(rounded, is_nan, top, _mm512_set1_epi32(0x0040)));
  }
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_SIMD_AVX512_H_
