#include "kernels/cuda/move_rows.h"

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

// A block of threads a move; sixteen bytes at a time where both ends allow it.
__device__ __forceinline__ void MoveRow(const RowMove& move) {
  const auto ends = reinterpret_cast<uintptr_t>(move.from) | reinterpret_cast<uintptr_t>(move.to);
  const int64_t vectors = ends % 16 == 0 ? move.num_bytes / 16 : 0;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    reinterpret_cast<uint4*>(move.to)[i] = reinterpret_cast<const uint4*>(move.from)[i];
  }
  for (int64_t i = vectors * 16 + threadIdx.x; i < move.padded_bytes; i += kThreads) {
    move.to[i] = i < move.num_bytes ? move.from[i] : std::byte{0};
  }
}

__global__ void __launch_bounds__(kThreads) MoveRowsKernel(const RowMove* moves) {
  LetNextStart();
  AwaitPrevious();
  const RowMove move = moves[blockIdx.x];
  MoveRow(move);
}

__global__ void __launch_bounds__(kThreads)
    GatherRowsKernel(const __grid_constant__ RowGather gather) {
  LetNextStart();
  AwaitPrevious();
  const int64_t row = blockIdx.x, token = gather.pair_of_row[row] / gather.top_k;
  MoveRow({gather.from + token * gather.num_bytes, gather.to + row * gather.padded_bytes,
           gather.num_bytes, gather.padded_bytes});
}

}  // namespace

void MoveRows(Context& context, const RowMove* staged, int64_t count) {
  Launch(context, "moving rows", Blocks(count, kThreads), &MoveRowsKernel, staged);
}

void GatherRows(Context& context, const RowGather& gather, int64_t num_rows) {
  Launch(context, "gathering rows", Blocks(num_rows, kThreads), &GatherRowsKernel, gather);
}

}  // namespace tramontane::cuda
