// Rows of a checkpoint's matrix to their places in a packed one, on the device.
#ifndef TRAMONTANE_KERNELS_CUDA_PACK_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_PACK_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/context.h"
#include "model/dtype.h"

namespace tramontane::cuda {

// Where the rows of a source go in a packed matrix.
enum class RowPlacement { kInOrder, kGate, kUp };

// What a kernel needs to know to pack some rows.
struct PackRows {
  const std::byte* source;  // [num_rows, in_features] of `dtype`, on the device
  std::byte* packed;
  DType dtype;
  DType compute_dtype;
  RowPlacement placement;
  int64_t first_row;  // that the first of these rows becomes; of w1 or w3 where interleaved
  int64_t num_rows;
  int64_t in_features;
  int64_t padded_in_features;
};
void LaunchPackRows(Context& context, const PackRows& args);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_PACK_ROWS_H_
