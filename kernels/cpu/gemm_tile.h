// The inner loop of every matrix product, as templates over an instruction set. One accumulator per
// output element, k ascending: so a row has the same bits in a tile of one row and of many.
#ifndef TRAMONTANE_KERNELS_CPU_GEMM_TILE_H_
#define TRAMONTANE_KERNELS_CPU_GEMM_TILE_H_

#include "kernels/cpu/always_inline.h"
#include "kernels/cpu/isa.h"

namespace tramontane::cpu {

// How one 32-bit unit of input meets one line of weights, in kSteps multiply-adds per element.
template <typename S>
struct F32Units {
  using Simd = S;
  using W = typename S::F;
  using A = typename S::F;
  static constexpr int kSteps = 1;

  template <int kStep>
  TRAMONTANE_INLINE static W Weights(const std::byte* line) {
    return S::Load(reinterpret_cast<const float*>(line));
  }
  template <int kStep>
  TRAMONTANE_INLINE static A Input(uint32_t unit) {
    return S::Set(__builtin_bit_cast(float, unit));
  }
  TRAMONTANE_INLINE static typename S::F MulAdd(typename S::F sum, W w, A a) {
    return S::MulAdd(a, w, sum);
  }
};

// bf16 pairs on a machine without an instruction for them: the even element, then the odd one.
template <typename S>
struct Bf16Units {
  using Simd = S;
  using W = typename S::F;
  using A = typename S::F;
  static constexpr int kSteps = 2;

  template <int kStep>
  TRAMONTANE_INLINE static W Weights(const std::byte* line) {
    return kStep == 0 ? S::EvenBf16(line) : S::OddBf16(line);
  }
  template <int kStep>
  TRAMONTANE_INLINE static A Input(uint32_t unit) {
    return S::Set(__builtin_bit_cast(float, kStep == 0 ? unit << 16 : unit & 0xffff0000u));
  }
  TRAMONTANE_INLINE static typename S::F MulAdd(typename S::F sum, W w, A a) {
    return S::MulAdd(a, w, sum);
  }
};

template <typename U, int kRows, int kVectors>
struct TileSums {
  typename U::Simd::F sum[kRows][kVectors];

  template <int kStep>
  TRAMONTANE_INLINE void AddStep(const std::byte* line, const uint32_t units[kRows]) {
    typename U::W w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) w[v] = U::template Weights<kStep>(line + v * 64);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename U::A a = U::template Input<kStep>(units[r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = U::MulAdd(sum[r][v], w[v], a);
    }
  }

  TRAMONTANE_INLINE void AddLine(const std::byte* line, const uint32_t units[kRows]) {
    AddStep<0>(line, units);
    if constexpr (U::kSteps == 2) AddStep<1>(line, units);
  }
};

template <typename U, int kRows, int kVectors>
TRAMONTANE_INLINE void RunTile(const GemmTile& tile, int first_vector) {
  using S = typename U::Simd;
  TileSums<U, kRows, kVectors> sums;
  const std::byte* rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    rows[r] = tile.rows[r];
    const float* saved = tile.sums + r * kPanelColumns + first_vector * 16;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums.sum[r][v] = tile.continue_sums ? S::Load(saved + v * 16) : S::Zero();
    }
  }
  const std::byte* line = tile.weights + first_vector * 64;
  const std::byte* prefetch = tile.prefetch + first_vector * 64;
  const int64_t num_whole = tile.num_units - (tile.half_unit ? 1 : 0);
  uint32_t units[kRows];
  for (int64_t u = 0; u < num_whole; ++u) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(prefetch + v * 64);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) __builtin_memcpy(&units[r], rows[r] + u * kUnitBytes, 4);
    sums.AddLine(line, units);
    line += kLineBytes;
    prefetch += tile.prefetch_stride;
  }
  if (tile.half_unit) {
    for (int r = 0; r < kRows; ++r) {
      uint16_t half;
      __builtin_memcpy(&half, rows[r] + num_whole * kUnitBytes, 2);
      units[r] = half;
    }
    sums.AddLine(line, units);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* saved = tile.sums + r * kPanelColumns + first_vector * 16;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) S::Store(saved + v * 16, sums.sum[r][v]);
  }
}

// All of a tile's columns, at most kMaxVectors sixteens at once, as many as registers hold sums.
template <typename U, int kRows, int kMaxVectors>
__attribute__((noinline)) void RunColumns(const GemmTile& tile) {
  int v = 0;
  if constexpr (kMaxVectors >= 4) {
    for (; v + 4 <= tile.num_vectors; v += 4) RunTile<U, kRows, 4>(tile, v);
  }
  if constexpr (kMaxVectors >= 2) {
    for (; v + 2 <= tile.num_vectors; v += 2) RunTile<U, kRows, 2>(tile, v);
  }
  for (; v < tile.num_vectors; ++v) RunTile<U, kRows, 1>(tile, v);
}

// For tables of at most kMaxRows rows; kSums is the number of sums that registers hold.
template <typename U, int kMaxRows, int kSums>
void RunGemmTile(const GemmTile& tile) {
  if constexpr (kMaxRows > 1) {
    if (tile.num_rows < kMaxRows) return RunGemmTile<U, kMaxRows - 1, kSums>(tile);
  }
  RunColumns<U, kMaxRows, (kSums / kMaxRows)>(tile);
}

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_GEMM_TILE_H_
