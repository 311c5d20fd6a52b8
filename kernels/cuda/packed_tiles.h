// Where a weight lies in memory as the tensor cores read it, and how a sum over k is cut.
#ifndef TRAMONTANE_KERNELS_CUDA_PACKED_TILES_H_
#define TRAMONTANE_KERNELS_CUDA_PACKED_TILES_H_

#include <cstdint>

#include "kernels/round_up.h"

namespace tramontane::cuda {

// A tile is 16 output features, cut into blocks of 64 k, 2 KiB each. Eight tiles are a group: its
// blocks of the same k lie side by side, 16 KiB, in the order of k. What there is no tile for is
// padding. A block is four steps of the tensor cores' 16x16 operand; in a step each of the 32 lanes
// of a warp has its eight bf16 side by side, so that a warp reads a step as 512 bytes in order.
//
// Which k of a block a step takes is free, as long as rows are read alike: lane t of four takes the
// 16 k from 16 t on, four a step, so that it reads its share of a row as 32 bytes in order, too.
inline constexpr int kTileRows = 16;
inline constexpr int kBlockK = 64;
inline constexpr int kBlockBytes = kTileRows * kBlockK * 2;
inline constexpr int kStepBytes = kBlockBytes / 4;
inline constexpr int kGroupTiles = 8;

// A sum over k is cut at fixed places into so many parts, each summed in the order of k by the
// tensor cores, then added in order, from zero. Warps take a part each where rows are few; one warp
// takes them one after the other where rows are many. The bits are the same.
inline constexpr int kParts = 8;

// The first block of a part of `num_blocks` blocks; part kParts begins at the end.
constexpr int PartBegin(int num_blocks, int part) {
  return static_cast<int>(static_cast<int64_t>(num_blocks) * part / kParts);
}

constexpr int64_t NumTiles(int64_t out_features) {
  return (out_features + kTileRows - 1) / kTileRows;
}
// With padding.
constexpr int64_t PaddedTiles(int64_t num_tiles) { return RoundUp(num_tiles, kGroupTiles); }
constexpr int64_t NumBlocks(int64_t in_features) { return (in_features + kBlockK - 1) / kBlockK; }

// Blocks from the start to block `k` of a tile, with `num_blocks` blocks a tile.
constexpr int64_t BlockIndex(int64_t tile, int64_t k, int64_t num_blocks) {
  return (tile / kGroupTiles * num_blocks + k) * kGroupTiles + tile % kGroupTiles;
}

// Elements from the start to weight (row, k), with `num_blocks` blocks a tile.
constexpr int64_t PackedIndex(int64_t row, int64_t k, int64_t num_blocks) {
  const int64_t tile = row / kTileRows, block = k / kBlockK;
  const int64_t r = row % kTileRows, in_block = k % kBlockK;
  const int64_t t = in_block / 16, step = in_block % 16 / 4, element = in_block % 4;
  const int64_t lane = r % 8 * 4 + t;
  // a[0], a[1] are rows g and g + 8 of the first two k; a[2], a[3] of the next two.
  const int64_t word = r / 8 + element / 2 * 2;
  return (BlockIndex(tile, block, num_blocks) * 4 + step) * 256 + lane * 8 + word * 2 + element % 2;
}

// The row of w1 or w3 that row `row` of their common packed matrix holds: of each tile, rows 0 to 7
// are eight of w1, rows 8 to 15 the same eight of w3, so that one lane gets both factors.
constexpr int64_t GateRow(int64_t row) { return row / kTileRows * 8 + row % 8; }
constexpr bool IsUpRow(int64_t row) { return row % kTileRows >= 8; }
// The inverse: where row `row` of w1 (`up`: of w3) lies.
constexpr int64_t InterleavedRow(int64_t row, bool up) {
  return row / 8 * kTileRows + row % 8 + (up ? 8 : 0);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_PACKED_TILES_H_
