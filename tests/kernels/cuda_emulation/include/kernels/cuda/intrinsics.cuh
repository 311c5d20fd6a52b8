// The instructions of kernels/cuda/intrinsics.cuh as PTX specifies them, for the emulation.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_INTRINSICS_CUH_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_INTRINSICS_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "model/check.h"
#include "model/dtype.h"

namespace tramontane::cuda {

inline constexpr int kWarpSize = 32;

inline unsigned char* DynamicShared() { return emulation::DynamicShared(); }

inline void LetNextStart() {}
inline void AwaitPrevious() { emulation::AwaitPrevious(); }

inline void SyncWarp() {
  const int nothing = 0;
  emulation::ExchangeInWarp(&nothing, sizeof(nothing));
}

template <typename T>
T ShuffleXor(T value, int lane_mask) {
  const auto* slots = emulation::ExchangeInWarp(&value, sizeof(value));
  return emulation::FromLane<T>(slots, emulation::Lane() ^ lane_mask);
}

inline uint32_t PackBf16(float low, float high) {
  return ToBFloat16(low).bits | static_cast<uint32_t>(ToBFloat16(high).bits) << 16;
}

inline float Exp2(float x) { return std::exp2(x); }

inline uint4 LoadOnce(const uint4* from) { return *from; }

// One of the two bf16 in a word.
inline float HalfOf(uint32_t word, int half) {
  return ToFloat(BFloat16{static_cast<uint16_t>(word >> (16 * half))});
}

inline void MultiplyAdd(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                        uint32_t b0, uint32_t b1) {
  const uint32_t mine[6] = {a0, a1, a2, a3, b0, b1};
  const auto* slots = emulation::ExchangeInWarp(mine, sizeof(mine));
  const int g = emulation::Lane() / 4, t = emulation::Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row_half = i / 2, column = t * 2 + i % 2;
    double sum = sums[i];
    for (int k = 0; k < 16; k += 2) {
      uint32_t left, right;
      std::memcpy(&left, slots[g * 4 + k % 8 / 2] + (row_half + k / 8 * 2) * 4, 4);
      std::memcpy(&right, slots[column * 4 + k % 8 / 2] + (4 + k / 8) * 4, 4);
      sum += double{HalfOf(left, 0)} * HalfOf(right, 0);
      sum += double{HalfOf(left, 1)} * HalfOf(right, 1);
    }
    sums[i] = static_cast<float>(sum);
  }
}

inline uint4 LoadMatrices(const void* shared_row) {
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(shared_row) % 16 == 0);
  const auto* slots = emulation::ExchangeInWarp(&shared_row, sizeof(shared_row));
  const int g = emulation::Lane() / 4, t = emulation::Lane() % 4;
  uint32_t words[4];
  for (int m = 0; m < 4; ++m) {
    std::memcpy(&words[m], emulation::FromLane<const std::byte*>(slots, m * 8 + g) + t * 4, 4);
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

inline uint4 LoadMatricesTransposed(const void* shared_row) {
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(shared_row) % 16 == 0);
  const auto* slots = emulation::ExchangeInWarp(&shared_row, sizeof(shared_row));
  const int g = emulation::Lane() / 4, t = emulation::Lane() % 4;
  uint32_t words[4];
  for (int m = 0; m < 4; ++m) {
    uint16_t halves[2];
    for (int i = 0; i < 2; ++i) {
      const auto* row = emulation::FromLane<const std::byte*>(slots, m * 8 + t * 2 + i);
      std::memcpy(&halves[i], row + g * 2, 2);
    }
    words[m] = halves[0] | static_cast<uint32_t>(halves[1]) << 16;
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

inline void CopyAsync(void* shared, const void* global, bool valid) {
  emulation::CopyAsync(shared, global, valid);
}
inline void CommitCopies() { emulation::CommitCopies(); }
template <int kPending>
inline void AwaitCopies() {
  emulation::AwaitCopies(kPending);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_INTRINSICS_CUH_
