#include "kernels/arg_max.h"

#include <cmath>
#include <limits>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 1024;

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

// A block of threads a row. Thread i takes columns i, i + kThreads, …; then they merge in a tree.
__global__ void __launch_bounds__(kThreads) ArgMaxKernel(const ArgMaxArgs args) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float values[kThreads];
  __shared__ int32_t columns[kThreads];
  const float* const row = args.rows + blockIdx.x * args.num_columns;
  const int thread = static_cast<int>(threadIdx.x);
  Greatest greatest = {-INFINITY, std::numeric_limits<int32_t>::max()};
  for (int64_t i = thread; i < args.num_columns; i += kThreads) {
    greatest.Merge({row[i], IsFinite(row[i]) ? static_cast<int32_t>(i) : -1});
  }
  for (int half = kThreads / 2; half > 0; half /= 2) {
    values[thread] = greatest.value;
    columns[thread] = greatest.column;
    __syncthreads();
    if (thread < half) greatest.Merge({values[thread + half], columns[thread + half]});
    __syncthreads();
  }
  if (thread == 0) args.ids[blockIdx.x] = greatest.column;
}

}  // namespace

void ArgMax(Context& context, const ArgMaxArgs& args) {
  Launch(context, "ArgMax", Blocks(args.num_rows, kThreads), &ArgMaxKernel, args);
}

}  // namespace tramontane::cuda
