// Sums over a block of threads, in one order.
#ifndef TRAMONTANE_KERNELS_CUDA_BLOCK_SUM_CUH_
#define TRAMONTANE_KERNELS_CUDA_BLOCK_SUM_CUH_

#include "kernels/cuda/intrinsics.cuh"

namespace tramontane::cuda {

__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}

// The sum of `value` over kThreads threads, in all of them. `shared`: [kThreads / 32].
template <int kThreads>
__device__ __forceinline__ float BlockSum(float value, float* shared) {
  value = WarpSum(value);
  if (threadIdx.x % kWarpSize == 0) shared[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) sum += shared[warp];
  return sum;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_BLOCK_SUM_CUH_
