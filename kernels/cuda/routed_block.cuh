// Which part of which product a block of threads makes, where only the device knows their rows.
#ifndef TRAMONTANE_KERNELS_CUDA_ROUTED_BLOCK_CUH_
#define TRAMONTANE_KERNELS_CUDA_ROUTED_BLOCK_CUH_

#include <cstdint>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {

struct RoutedBlock {
  int product;  // -1: none
  int first_row, first_tile;
};

// Blocks of kRows rows by kTiles tiles: product after product, of each its columns in order, so
// that neighbours share weights. Of index `index`; what is left over has no product.
template <int kRows, int kTiles>
__device__ __forceinline__ RoutedBlock FindBlock(const Product* products, int max_products,
                                                 int index) {
  for (int p = 0; p < max_products; ++p) {
    const int row_blocks = (products[p].num_rows + kRows - 1) / kRows;
    const int num_blocks = row_blocks * ((products[p].num_tiles + kTiles - 1) / kTiles);
    if (index < num_blocks) {
      return {p, index % row_blocks * kRows, index / row_blocks * kTiles};
    }
    index -= num_blocks;
  }
  return {-1, 0, 0};
}

// As many as there can be: only the last rows of each product may leave a block unfilled.
template <int kRows, int kTiles>
unsigned MaxBlocks(const RoutedProducts& products) {
  const int64_t row_blocks = products.max_rows / kRows + products.max_many;
  return static_cast<unsigned>(row_blocks) * DivideUp(products.num_tiles, kTiles);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_ROUTED_BLOCK_CUH_
