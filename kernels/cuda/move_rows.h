// Rows from wherever they lie to wherever they are wanted.
#ifndef TRAMONTANE_KERNELS_CUDA_MOVE_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_MOVE_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/context.h"

namespace tramontane::cuda {

// `num_bytes` from one place to another, then zeros up to `padded_bytes`. Any alignment.
struct RowMove {
  const std::byte* from;
  std::byte* to;
  int64_t num_bytes;
  int64_t padded_bytes;
};

// Queues the moves.
void MoveRows(Context& context, std::span<const RowMove> moves);
// The same for `num_bytes` in one piece, wide, as one end may be the host's memory.
void MoveBytes(Context& context, const std::byte* from, std::byte* to, int64_t num_bytes);
// Adds what MoveBytes moves to a list.
void AddMoves(const std::byte* from, std::byte* to, int64_t num_bytes, std::vector<RowMove>& moves);

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
