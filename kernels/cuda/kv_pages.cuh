// Where keys and values of a position lie, on the device.
#ifndef TRAMONTANE_KERNELS_CUDA_KV_PAGES_CUH_
#define TRAMONTANE_KERNELS_CUDA_KV_PAGES_CUH_

#include <cstdint>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/kv_layout.h"

namespace tramontane::cuda {

// Elements from `keys` or `values` to the row [head_dim] of `kv_head` at `position` of the sequence
// whose page table is `pages`.
__device__ __forceinline__ int64_t KvElement(const KvLayer& cache, const int32_t* pages,
                                             int64_t kv_head, int position) {
  const auto block_size = static_cast<int>(cache.block_size);
  const int64_t block = pages[position / block_size];
  return ((block * cache.num_kv_heads + kv_head) * block_size + position % block_size) *
         cache.head_dim;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_KV_PAGES_CUH_
