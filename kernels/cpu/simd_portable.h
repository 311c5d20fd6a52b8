// Sixteen float32 lanes as the compiler's own vectors, for any machine.
#ifndef TRAMONTANE_KERNELS_CPU_SIMD_PORTABLE_H_
#define TRAMONTANE_KERNELS_CPU_SIMD_PORTABLE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/always_inline.h"

namespace tramontane::cpu {

// As SimdAvx512, but MulAdd rounds the product first. A product of two bf16 is exact in float32, so
// matrix products of bf16 have the same bits all the same.
struct SimdPortable {
  typedef float F4 __attribute__((vector_size(16)));
  typedef int32_t I4 __attribute__((vector_size(16)));
  typedef uint32_t U4 __attribute__((vector_size(16)));
  struct F {
    F4 v[4];
  };
  // Sums for each of four rows that registers hold.
  static constexpr int kSumsOfFour = 1;

  TRAMONTANE_INLINE static F Zero() { return Set(0.0f); }
  TRAMONTANE_INLINE static F Set(float x) {
    return Each([&](int) { return F4{x, x, x, x}; });
  }
  TRAMONTANE_INLINE static F Load(const float* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  TRAMONTANE_INLINE static void Store(float* p, F x) { __builtin_memcpy(p, &x, sizeof(x)); }
  TRAMONTANE_INLINE static F LoadFirst(const float* p, int n) {
    float lanes[16] = {};
    __builtin_memcpy(lanes, p, static_cast<size_t>(n) * 4);
    return Load(lanes);
  }
  TRAMONTANE_INLINE static void StoreFirst(float* p, F x, int n) {
    __builtin_memcpy(p, &x, static_cast<size_t>(n) * 4);
  }
  TRAMONTANE_INLINE static F LoadBf16(const void* p) { return LoadBf16First(p, 16); }
  TRAMONTANE_INLINE static F LoadBf16First(const void* p, int n) {
    uint16_t halves[16] = {};
    __builtin_memcpy(halves, p, static_cast<size_t>(n) * 2);
    uint32_t words[16];
    for (int i = 0; i < 16; ++i) words[i] = static_cast<uint32_t>(halves[i]) << 16;
    F x;
    __builtin_memcpy(&x, words, sizeof(x));
    return x;
  }
  TRAMONTANE_INLINE static void StoreBf16(void* p, F x) { StoreBf16First(p, x, 16); }
  TRAMONTANE_INLINE static void StoreBf16First(void* p, F x, int n) {
    uint16_t halves[16];
    for (int i = 0; i < 4; ++i) {
      const U4 bits = reinterpret_cast<U4>(x.v[i]);
      const U4 rounded = (bits + (((bits >> 16) & 1) + 0x7fff)) >> 16;
      const U4 is_nan = reinterpret_cast<U4>(x.v[i] != x.v[i]);
      const U4 chosen = (is_nan & ((bits >> 16) | 0x0040)) | (~is_nan & rounded);
      for (int j = 0; j < 4; ++j) halves[4 * i + j] = static_cast<uint16_t>(chosen[j]);
    }
    __builtin_memcpy(p, halves, static_cast<size_t>(n) * 2);
  }

  TRAMONTANE_INLINE static F Add(F a, F b) {
    return Each([&](int i) { return a.v[i] + b.v[i]; });
  }
  TRAMONTANE_INLINE static F Sub(F a, F b) {
    return Each([&](int i) { return a.v[i] - b.v[i]; });
  }
  TRAMONTANE_INLINE static F Mul(F a, F b) {
    return Each([&](int i) { return a.v[i] * b.v[i]; });
  }
  TRAMONTANE_INLINE static F Div(F a, F b) {
    return Each([&](int i) { return a.v[i] / b.v[i]; });
  }
  TRAMONTANE_INLINE static F MulAdd(F a, F b, F c) {
    return Each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  TRAMONTANE_INLINE static F NegMulAdd(F a, F b, F c) {
    return Each([&](int i) { return c.v[i] - a.v[i] * b.v[i]; });
  }
  // The second operand where either is a NaN, as x86 does.
  TRAMONTANE_INLINE static F Max(F a, F b) {
    return Each([&](int i) { return Choose(a.v[i] > b.v[i], a.v[i], b.v[i]); });
  }
  TRAMONTANE_INLINE static F Min(F a, F b) {
    return Each([&](int i) { return Choose(a.v[i] < b.v[i], a.v[i], b.v[i]); });
  }

  // For |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
  TRAMONTANE_INLINE static F RoundToInt(F x) {
    return Each([&](int i) { return (x.v[i] + 0x1.8p23f) - 0x1.8p23f; });
  }
  TRAMONTANE_INLINE static F TwoToThe(F n) {
    return Each([&](int i) {
      return reinterpret_cast<F4>((__builtin_convertvector(n.v[i], I4) + 127) << 23);
    });
  }
  TRAMONTANE_INLINE static F ZeroBelow(F x, F bound, F y) {
    return Each([&](int i) { return Choose(x.v[i] < bound.v[i], F4{}, y.v[i]); });
  }
  TRAMONTANE_INLINE static F KeepLanes(F x, int begin, int end, float otherwise) {
    float lanes[16];
    Store(lanes, x);
    for (int i = 0; i < 16; ++i) lanes[i] = i >= begin && i < end ? lanes[i] : otherwise;
    return Load(lanes);
  }

  TRAMONTANE_INLINE static float Sum(F x) {
    const F4 quarter = (x.v[0] + x.v[2]) + (x.v[1] + x.v[3]);
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
  }
  TRAMONTANE_INLINE static float MaxLane(F x) {
    float most = x.v[0][0];
    for (int i = 1; i < 16; ++i) most = x.v[i / 4][i % 4] > most ? x.v[i / 4][i % 4] : most;
    return most;
  }

  TRAMONTANE_INLINE static F EvenBf16(const void* p) {
    const F words = Load(static_cast<const float*>(p));
    return Each(
        [&](int i) { return reinterpret_cast<F4>(reinterpret_cast<U4>(words.v[i]) << 16); });
  }
  TRAMONTANE_INLINE static F OddBf16(const void* p) {
    const F words = Load(static_cast<const float*>(p));
    return Each([&](int i) {
      return reinterpret_cast<F4>(reinterpret_cast<U4>(words.v[i]) & 0xffff0000u);
    });
  }

  TRAMONTANE_INLINE static void Transpose(F rows[16]) {
    float lanes[16][16];
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 16; ++j) lanes[j][i] = rows[i].v[j / 4][j % 4];
    }
    for (int i = 0; i < 16; ++i) rows[i] = Load(lanes[i]);
  }

 private:
  template <typename Body>
  TRAMONTANE_INLINE static F Each(Body body) {
    return {{body(0), body(1), body(2), body(3)}};
  }
  TRAMONTANE_INLINE static F4 Choose(I4 condition, F4 a, F4 b) {
    const U4 mask = reinterpret_cast<U4>(condition);
    return reinterpret_cast<F4>((mask & reinterpret_cast<U4>(a)) |
                                (~mask & reinterpret_cast<U4>(b)));
  }
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_SIMD_PORTABLE_H_
