// The greatest of a row, by a block of threads.
#ifndef TRAMONTANE_KERNELS_CUDA_GREATEST_CUH_
#define TRAMONTANE_KERNELS_CUDA_GREATEST_CUH_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/intrinsics.cuh"

namespace tramontane::cuda {

// So far, and where it is: -1 once something was not finite.
struct Greatest {
  float value;
  int32_t column;

  __device__ __forceinline__ void Merge(const Greatest& other) {
    if (column < 0) return;
    const bool greater = other.value > value || (other.value == value && other.column < column);
    if (other.column < 0 || greater) *this = other;
  }
};

__device__ __forceinline__ bool IsFinite(float value) {
  return (__float_as_uint(value) & 0x7f800000u) != 0x7f800000u;
}

__device__ __forceinline__ void MergeWarp(Greatest& greatest) {
#pragma unroll
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) {
    greatest.Merge({ShuffleXor(greatest.value, mask), ShuffleXor(greatest.column, mask)});
  }
}

// Of a thread's columns: every kThreads-th kWidth columns, several times as many at once.
template <int kThreads, int kWidth>
__device__ __forceinline__ Greatest GreatestOfThread(const float* row, int64_t num_columns) {
  constexpr int kLoads = 4;
  constexpr int64_t kStep = kThreads * kWidth;
  const int thread = static_cast<int>(threadIdx.x);
  Greatest greatest = {-INFINITY, std::numeric_limits<int32_t>::max()};
  bool finite = true;
  for (int64_t first = thread * kWidth; first < num_columns; first += kLoads * kStep) {
    Elements<float, kWidth> loaded[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * kStep < num_columns) {
        loaded[l] = LoadFloats<kWidth>(row + first + l * kStep);
      }
    }
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * kStep >= num_columns) break;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float value = loaded[l].at[i];
        finite = finite && IsFinite(value);
        // The columns of a thread rise: of equals the first stays.
        if (value > greatest.value) {
          greatest = {value, static_cast<int32_t>(first + l * kStep + i)};
        }
      }
    }
  }
  if (!finite) greatest.column = -1;
  return greatest;
}

// Whether rows may be read four columns at a time.
inline bool AreVectors(const float* rows, int64_t num_columns) {
  return num_columns % 4 == 0 && reinterpret_cast<uintptr_t>(rows) % 16 == 0;
}

// Of the row, in the threads of the first warp. Both arrays: [32], shared.
template <int kThreads, int kWidth>
__device__ __forceinline__ Greatest GreatestOfRow(const float* row, int64_t num_columns,
                                                  float* values, int32_t* columns) {
  static_assert(kThreads == kWarpSize * kWarpSize, "the first warp has a thread for each warp");
  const int thread = static_cast<int>(threadIdx.x);
  Greatest greatest = GreatestOfThread<kThreads, kWidth>(row, num_columns);
  MergeWarp(greatest);
  if (thread % kWarpSize == 0) {
    values[thread / kWarpSize] = greatest.value;
    columns[thread / kWarpSize] = greatest.column;
  }
  __syncthreads();
  if (thread >= kWarpSize) return greatest;
  greatest = {values[thread], columns[thread]};
  MergeWarp(greatest);
  return greatest;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_GREATEST_CUH_
