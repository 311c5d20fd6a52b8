// Where one position's key or value lies in a layer of the paged cache.
#ifndef TRAMONTANE_KERNELS_KV_SLOT_H_
#define TRAMONTANE_KERNELS_KV_SLOT_H_

#include <cstdint>

#include "kernels/kv_layout.h"

namespace tramontane {

// Bytes from `keys` or `values` to the row [head_dim] of `kv_head` at `position`.
inline int64_t KvSlotOffset(const KvLayer& cache, std::span<const int32_t> page_table,
                            int64_t kv_head, int64_t position) {
  const int64_t block = page_table[static_cast<size_t>(position / cache.block_size)];
  const int64_t slot =
      (block * cache.num_kv_heads + kv_head) * cache.block_size + position % cache.block_size;
  return slot * cache.head_dim * static_cast<int64_t>(DTypeSize(cache.dtype));
}

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_KV_SLOT_H_
