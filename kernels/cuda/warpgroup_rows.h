// Products of many rows by warpgroups (warpgroup.cuh), and the rows as they read them.
#ifndef TRAMONTANE_KERNELS_CUDA_WARPGROUP_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_WARPGROUP_ROWS_H_

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/cuda/packed_tiles.h"
#include "kernels/cuda/products.h"
#include "kernels/round_up.h"

namespace tramontane::cuda {

// Packed rows: [in_features / kBlockK, PaddedRows(num_rows), kBlockK], eight rows of a block in 1
// KiB as warpgroup.cuh says, the k of each step as packed_tiles.h says. What is copied for a block
// of threads is one piece.
constexpr int64_t PaddedRows(int64_t num_rows) { return RoundUp(num_rows, 8); }

// Where the packed rows of one of several products begin, in rows: `first_row` rows of `index`
// products are before its own. No two overlap.
constexpr int64_t FirstPackedRow(int64_t first_row, int64_t index) {
  return PaddedRows(first_row) + 8 * index;
}

// Memory for the packed rows of up to `max_products` products that have `max_rows` rows together.
std::byte* ReservePackedRows(Context& context, int64_t max_rows, int64_t max_products,
                             int64_t in_features);

// The kernels of RunProducts and RunRoutedProducts for many rows in bf16, where
// Context::warpgroups. They pack the rows first: a routed product's into its packed_rows.
void RunWarpgroupRows(Context& context, ProductList& list, int count, Epilogue epilogue);
void RunRoutedWarpgroupRows(Context& context, const RoutedProducts& products, Epilogue epilogue);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_WARPGROUP_ROWS_H_
