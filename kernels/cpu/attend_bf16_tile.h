// A tile of bf16 keys and values, laid out for vdpbf16ps. Only for translation units built with
// AVX-512's flags.
#ifndef TRAMONTANE_KERNELS_CPU_ATTEND_BF16_TILE_H_
#define TRAMONTANE_KERNELS_CPU_ATTEND_BF16_TILE_H_

#include <immintrin.h>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"

namespace tramontane::cpu {

// A unit is a pair of bf16: of keys, two consecutive elements of one position; of values, one
// element of two consecutive positions.
class Bf16Tile {
 public:
  static constexpr int64_t kPositions = kBf16AttentionTile;
  static constexpr int64_t kSixteens = kPositions / 16;
  static constexpr int64_t kPairs = kPositions / 2;

  TRAMONTANE_INLINE explicit Bf16Tile(const AttentionTask& task)
      : task_(task),
        row_bytes_(task.head_dim * 2),
        num_units_((task.head_dim + 1) / 2),
        padded_((task.head_dim + 15) / 16 * 16),
        last_position_(task.first_position + task.num_rows - 1),
        keys_(task.scratch),
        values_(keys_ + (num_units_ + 15) / 16 * 16 * kPositions) {}

  int64_t num_units() const { return num_units_; }
  // Floats from one pair of positions to the next in values().
  int64_t padded() const { return padded_; }
  // [num_units][kPositions] units.
  const float* keys() const { return keys_; }
  // [kPairs][padded] units.
  const float* values() const { return values_; }
  // Of the scratch; aligned as the scratch is.
  float* end() const { return values_ + kPairs * padded_; }

  // Positions [16 begin, 16 end), counted from that of `tile`. Such past the last row's may never
  // have been written: their values become zeros, as a weight of 0 would not hide a NaN. Asks for
  // sixteens [prefetch_begin, kSixteens) of the next tile meanwhile.
  TRAMONTANE_INLINE void Load(int64_t tile, int64_t begin, int64_t end, int64_t prefetch_begin) {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t sixteen = tile * kSixteens + s;
      const int64_t ahead = s < prefetch_begin ? 0 : AheadOf(sixteen + kSixteens, sixteen);
      LoadKeys(s, task_.keys + Offset(sixteen), ahead);
      LoadValues(s, task_.values + Offset(sixteen), ahead, last_position_ + 1 - sixteen * 16);
    }
  }

  // Keys and values of the next tile's s-th sixteen, to ask for while computing; as many cache
  // lines as there are units. Null if there are none.
  TRAMONTANE_INLINE const std::byte* NextKeys(int64_t tile, int64_t s) const {
    return HasNext(tile, s) ? task_.keys + Offset((tile + 1) * kSixteens + s) : nullptr;
  }
  TRAMONTANE_INLINE const std::byte* NextValues(int64_t tile, int64_t s) const {
    return HasNext(tile, s) ? task_.values + Offset((tile + 1) * kSixteens + s) : nullptr;
  }

 private:
  TRAMONTANE_INLINE bool IsVisible(int64_t sixteen) const { return sixteen * 16 <= last_position_; }

  TRAMONTANE_INLINE bool HasNext(int64_t tile, int64_t s) const {
    return s < kSixteens && IsVisible((tile + 1) * kSixteens + s);
  }

  // Bytes from keys or values of block 0 to the first of sixteen positions.
  TRAMONTANE_INLINE int64_t Offset(int64_t sixteen) const {
    const int64_t position = sixteen * 16;
    return task_.page_table[position / task_.block_size] * task_.block_stride +
           position % task_.block_size * row_bytes_;
  }
  // Bytes from what is loaded to what is asked for; 0 if there is nothing to ask for.
  TRAMONTANE_INLINE int64_t AheadOf(int64_t later, int64_t sixteen) const {
    return IsVisible(later) ? Offset(later) - Offset(sixteen) : 0;
  }

  TRAMONTANE_INLINE static __m512i LoadElements(const std::byte* p, int64_t count) {
    const uint32_t kept = count >= 32 ? 0xffffffffu : (uint32_t{1} << count) - 1;
    return _mm512_maskz_loadu_epi16(kept, p);
  }

  TRAMONTANE_INLINE void LoadKeys(int64_t s, const std::byte* keys, int64_t ahead) {
    for (int64_t u = 0; u < num_units_; u += 16) {
      __m512 block[16];
#pragma GCC unroll 16
      for (int j = 0; j < 16; ++j) {
        const std::byte* row = keys + j * row_bytes_ + u * 4;
        __builtin_prefetch(row + ahead);
        block[j] = _mm512_castsi512_ps(LoadElements(row, task_.head_dim - 2 * u));
      }
      SimdAvx512::Transpose(block);
#pragma GCC unroll 16
      for (int j = 0; j < 16; ++j) {
        SimdAvx512::Store(keys_ + (u + j) * kPositions + 16 * s, block[j]);
      }
    }
  }

  TRAMONTANE_INLINE void LoadValues(int64_t s, const std::byte* values, int64_t ahead,
                                    int64_t num_written) {
    alignas(64) static constexpr uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                      37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                      11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i low = _mm512_load_si512(kLow);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int64_t j = 0; j < 16; j += 2) {
      float* pair = values_ + (8 * s + j / 2) * padded_;
      for (int64_t d = 0; d < padded_; d += 32) {
        const int64_t count = task_.head_dim - d;
        const std::byte* first = values + j * row_bytes_ + d * 2;
        const std::byte* second = first + row_bytes_;
        __builtin_prefetch(first + ahead);
        __builtin_prefetch(second + ahead);
        const __m512i a = LoadElements(first, j < num_written ? count : 0);
        const __m512i b = LoadElements(second, j + 1 < num_written ? count : 0);
        _mm512_storeu_si512(pair + d, _mm512_permutex2var_epi16(a, low, b));
        if (d + 16 == padded_) break;
        _mm512_storeu_si512(pair + d + 16, _mm512_permutex2var_epi16(a, high, b));
      }
    }
  }

  const AttentionTask& task_;
  const int64_t row_bytes_;  // of one cached key or value
  const int64_t num_units_;  // of a key
  const int64_t padded_;     // head_dim up to whole sixteens
  const int64_t last_position_;
  float* const keys_;
  float* const values_;
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ATTEND_BF16_TILE_H_
