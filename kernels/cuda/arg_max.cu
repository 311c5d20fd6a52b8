#include "kernels/arg_max.h"

#include <cmath>
#include <limits>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;
static_assert(kWarps == kWarpSize);
constexpr int kLoads = 4;

// The greatest so far and where it is: -1 once something was not finite.
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

// A block of threads a row: each thread takes every kThreads-th kWidth columns, kLoads times as
// many at once; then they merge.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) ArgMaxKernel(const ArgMaxArgs args) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float values[kWarps];
  __shared__ int32_t columns[kWarps];
  const float* const row = args.rows + blockIdx.x * args.num_columns;
  const int thread = static_cast<int>(threadIdx.x);
  Greatest greatest = {-INFINITY, std::numeric_limits<int32_t>::max()};
  bool finite = true;
  constexpr int64_t kStep = kThreads * kWidth;
  for (int64_t first = thread * kWidth; first < args.num_columns; first += kLoads * kStep) {
    Elements<float, kWidth> loaded[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * kStep < args.num_columns) {
        loaded[l] = LoadFloats<kWidth>(row + first + l * kStep);
      }
    }
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      if (first + l * kStep >= args.num_columns) break;
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
  MergeWarp(greatest);
  if (thread % kWarpSize == 0) {
    values[thread / kWarpSize] = greatest.value;
    columns[thread / kWarpSize] = greatest.column;
  }
  __syncthreads();
  if (thread >= kWarpSize) return;
  greatest = {values[thread], columns[thread]};
  MergeWarp(greatest);
  if (thread == 0) args.ids[blockIdx.x] = greatest.column;
}

}  // namespace

void ArgMax(Context& context, const ArgMaxArgs& args) {
  const bool vectors =
      args.num_columns % 4 == 0 && reinterpret_cast<uintptr_t>(args.rows) % 16 == 0;
  Launch(context, "ArgMax", Blocks(args.num_rows, kThreads),
         vectors ? &ArgMaxKernel<4> : &ArgMaxKernel<1>, args);
}

}  // namespace tramontane::cuda
