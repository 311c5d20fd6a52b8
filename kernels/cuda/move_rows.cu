#include "kernels/cuda/move_rows.h"

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

// A block of threads a move; sixteen bytes at a time where both ends allow it.
__global__ void __launch_bounds__(kThreads) MoveRowsKernel(const RowMove* moves) {
  const RowMove move = moves[blockIdx.x];
  const auto ends = reinterpret_cast<uintptr_t>(move.from) | reinterpret_cast<uintptr_t>(move.to);
  const int64_t vectors = ends % 16 == 0 ? move.num_bytes / 16 : 0;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    reinterpret_cast<uint4*>(move.to)[i] = reinterpret_cast<const uint4*>(move.from)[i];
  }
  for (int64_t i = vectors * 16 + threadIdx.x; i < move.padded_bytes; i += kThreads) {
    move.to[i] = i < move.num_bytes ? move.from[i] : std::byte{0};
  }
}

}  // namespace

void MoveRows(Context& context, const RowMove* staged, int64_t count) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(count));
  shape.block = dim3(kThreads);
  Launch(context, "moving rows", shape, &MoveRowsKernel, staged);
}

}  // namespace tramontane::cuda
