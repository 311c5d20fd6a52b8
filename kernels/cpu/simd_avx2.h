// Sixteen float32 lanes in two AVX2 registers. Only for translation units built with -mavx2 -mfma.
#ifndef TRAMONTANE_KERNELS_CPU_SIMD_AVX2_H_
#define TRAMONTANE_KERNELS_CPU_SIMD_AVX2_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/always_inline.h"

namespace tramontane::cpu {

// Bit for bit what SimdAvx512 does.
struct SimdAvx2 {
  struct F {
    __m256 a, b;  // lanes 0 … 7, 8 … 15
  };
  // Sums for each of four rows that registers hold.
  static constexpr int kSumsOfFour = 1;

  TRAMONTANE_INLINE static F Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  TRAMONTANE_INLINE static F Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  TRAMONTANE_INLINE static F Load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
  }
  TRAMONTANE_INLINE static void Store(float* p, F x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  TRAMONTANE_INLINE static F LoadFirst(const float* p, int n) {
    float lanes[16] = {};
    __builtin_memcpy(lanes, p, static_cast<size_t>(n) * 4);
    return Load(lanes);
  }
  TRAMONTANE_INLINE static void StoreFirst(float* p, F x, int n) {
    float lanes[16];
    Store(lanes, x);
    __builtin_memcpy(p, lanes, static_cast<size_t>(n) * 4);
  }
  TRAMONTANE_INLINE static F LoadBf16(const void* p) {
    const auto* halves = static_cast<const __m128i*>(p);
    return {Widen(_mm_loadu_si128(halves)), Widen(_mm_loadu_si128(halves + 1))};
  }
  TRAMONTANE_INLINE static F LoadBf16First(const void* p, int n) {
    uint16_t lanes[16] = {};
    __builtin_memcpy(lanes, p, static_cast<size_t>(n) * 2);
    return LoadBf16(lanes);
  }
  TRAMONTANE_INLINE static void StoreBf16(void* p, F x) {
    // Packing works within 128-bit parts: put the parts back in order.
    const __m256i packed = _mm256_packus_epi32(Round(x.a), Round(x.b));
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
  }
  TRAMONTANE_INLINE static void StoreBf16First(void* p, F x, int n) {
    uint16_t lanes[16];
    StoreBf16(lanes, x);
    __builtin_memcpy(p, lanes, static_cast<size_t>(n) * 2);
  }

  TRAMONTANE_INLINE static F Add(F x, F y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
  }
  TRAMONTANE_INLINE static F Sub(F x, F y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
  }
  TRAMONTANE_INLINE static F Mul(F x, F y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
  }
  TRAMONTANE_INLINE static F Div(F x, F y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
  }
  TRAMONTANE_INLINE static F MulAdd(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  TRAMONTANE_INLINE static F NegMulAdd(F x, F y, F z) {
    return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
  }
  TRAMONTANE_INLINE static F Max(F x, F y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
  }
  TRAMONTANE_INLINE static F Min(F x, F y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
  }

  TRAMONTANE_INLINE static F RoundToInt(F x) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.a, kMode), _mm256_round_ps(x.b, kMode)};
  }
  TRAMONTANE_INLINE static F TwoToThe(F n) { return {TwoToThe(n.a), TwoToThe(n.b)}; }
  TRAMONTANE_INLINE static F ZeroBelow(F x, F bound, F y) {
    return {_mm256_and_ps(_mm256_cmp_ps(x.a, bound.a, _CMP_NLT_UQ), y.a),
            _mm256_and_ps(_mm256_cmp_ps(x.b, bound.b, _CMP_NLT_UQ), y.b)};
  }
  TRAMONTANE_INLINE static F KeepLanes(F x, int begin, int end, float otherwise) {
    return {KeepLanes(x.a, begin, end, otherwise), KeepLanes(x.b, begin - 8, end - 8, otherwise)};
  }

  TRAMONTANE_INLINE static float Sum(F x) {
    const __m256 half = _mm256_add_ps(x.a, x.b);
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  TRAMONTANE_INLINE static float MaxLane(F x) {
    const __m256 half = _mm256_max_ps(x.a, x.b);
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
  }

  TRAMONTANE_INLINE static F EvenBf16(const void* p) {
    const auto* words = static_cast<const __m256i*>(p);
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(words), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(words + 1), 16))};
  }
  TRAMONTANE_INLINE static F OddBf16(const void* p) {
    const auto* words = static_cast<const __m256i*>(p);
    const __m256i top = _mm256_set1_epi32(static_cast<int>(0xffff0000));
    return {_mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(words), top)),
            _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(words + 1), top))};
  }

  TRAMONTANE_INLINE static void Transpose(F rows[16]) {
    __m256 quadrant[8];
    for (int i = 0; i < 8; ++i) quadrant[i] = rows[i].b;  // upper right
    Transpose8([&](int i) -> __m256& { return rows[i].a; });
    Transpose8([&](int i) -> __m256& { return rows[8 + i].b; });
    Transpose8([&](int i) -> __m256& { return quadrant[i]; });
    Transpose8([&](int i) -> __m256& { return rows[8 + i].a; });
    for (int i = 0; i < 8; ++i) {
      rows[i].b = rows[8 + i].a;
      rows[8 + i].a = quadrant[i];
    }
  }

 private:
  TRAMONTANE_INLINE static __m256 Widen(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  TRAMONTANE_INLINE static __m256i Round(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i top = _mm256_srli_epi32(bits, 16);
    const __m256i lsb = _mm256_and_si256(top, _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(bits, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(top, _mm256_set1_epi32(0x0040)), is_nan);
  }
  TRAMONTANE_INLINE static __m256 TwoToThe(__m256 n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
  TRAMONTANE_INLINE static __m256 KeepLanes(__m256 x, int begin, int end, float otherwise) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i kept = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lane),
                                             _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane));
    return _mm256_blendv_ps(_mm256_set1_ps(otherwise), x, _mm256_castsi256_ps(kept));
  }
  template <typename Row>
  TRAMONTANE_INLINE static void Transpose8(Row row) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 4) {
      const __m256 ab_low = _mm256_unpacklo_ps(row(i), row(i + 1));
      const __m256 ab_high = _mm256_unpackhi_ps(row(i), row(i + 1));
      const __m256 cd_low = _mm256_unpacklo_ps(row(i + 2), row(i + 3));
      const __m256 cd_high = _mm256_unpackhi_ps(row(i + 2), row(i + 3));
      t[i] = _mm256_shuffle_ps(ab_low, cd_low, 0x44);
      t[i + 1] = _mm256_shuffle_ps(ab_low, cd_low, 0xee);
      t[i + 2] = _mm256_shuffle_ps(ab_high, cd_high, 0x44);
      t[i + 3] = _mm256_shuffle_ps(ab_high, cd_high, 0xee);
    }
    for (int c = 0; c < 4; ++c) {
      row(c) = _mm256_permute2f128_ps(t[c], t[4 + c], 0x20);
      row(4 + c) = _mm256_permute2f128_ps(t[c], t[4 + c], 0x31);
    }
  }
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_SIMD_AVX2_H_
