// Rows from wherever they lie to wherever they are wanted.
#ifndef TRAMONTANE_KERNELS_CUDA_MOVE_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_MOVE_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/context.h"

namespace tramontane::cuda {

// `num_bytes` from one place to another, then zeros up to `padded_bytes`. Any alignment.
struct RowMove {
  const std::byte* from;
  std::byte* to;
  int64_t num_bytes;
  int64_t padded_bytes;
};

// Queues `count` moves, which lie in staged memory.
void MoveRows(Context& context, const RowMove* staged, int64_t count);

// Row i of `to` becomes the row of the token of pair pair_of_row[i], then zeros. All on the device.
struct RowGather {
  const int32_t* pair_of_row;  // [num_rows]
  const std::byte* from;       // [tokens, num_bytes]
  std::byte* to;               // [num_rows, padded_bytes]
  int64_t num_bytes;
  int64_t padded_bytes;
  int64_t top_k;
};
void GatherRows(Context& context, const RowGather& gather, int64_t num_rows);

// Where kernels can read the `num_bytes` at `row`: there, or staged.
const std::byte* ReadableRow(Context& context, const std::byte* row, int64_t num_bytes);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_MOVE_ROWS_H_
