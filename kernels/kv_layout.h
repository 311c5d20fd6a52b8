// How keys and values of many sequences lie in blocks.
#ifndef TRAMONTANE_KERNELS_KV_LAYOUT_H_
#define TRAMONTANE_KERNELS_KV_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/dtype.h"

namespace tramontane {

// Attention reads keys in tiles of this many absolute positions; a block holds whole tiles.
inline constexpr int kKvTile = 16;

// One layer's share of the cache. Keys and values are each
// [num_blocks, num_kv_heads, block_size, head_dim] of `dtype`.
struct KvLayer {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  DType dtype = DType::kF32;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t block_size = 0;  // tokens, a multiple of kKvTile
};

// Consecutive rows of a token batch that belong to one sequence: a decode row or a prefill chunk.
struct SequenceRows {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t first_position = 0;           // of first_row, in its sequence
  std::span<const int32_t> page_table;  // block ids; covers position first_position + num_rows - 1
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_KV_LAYOUT_H_
