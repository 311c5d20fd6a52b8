#include "kernels/cuda/move_rows.h"

#include <algorithm>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

// Sixteen bytes each are a row of 4096 elements of bf16: one trip over the bus, where it is there.
constexpr int kThreads = 512;
// Of a longer piece; so that many blocks of threads are at work.
constexpr int64_t kPieceBytes = kThreads * 16;
// So many moves travel as a kernel's parameter: a list in pinned memory is read over the bus.
constexpr int kMaxParameterMoves = 32;

struct FewMoves {
  RowMove at[kMaxParameterMoves] = {};
};

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
    MoveFewRowsKernel(const __grid_constant__ FewMoves moves) {
  LetNextStart();
  AwaitPrevious();
  MoveRow(moves.at[blockIdx.x]);
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

void MoveRows(Context& context, std::span<const RowMove> moves) {
  const auto count = static_cast<int64_t>(moves.size());
  if (count <= kMaxParameterMoves) {
    FewMoves few;
    std::copy(moves.begin(), moves.end(), few.at);
    Launch(context, "moving rows", Blocks(count, kThreads), &MoveFewRowsKernel, few);
    return;
  }
  auto* const staged = context.StageArray<RowMove>(count);
  std::copy(moves.begin(), moves.end(), staged);
  Launch(context, "moving rows", Blocks(count, kThreads), &MoveRowsKernel, staged);
}

void AddMoves(const std::byte* from, std::byte* to, int64_t num_bytes,
              std::vector<RowMove>& moves) {
  for (int64_t at = 0; at < num_bytes; at += kPieceBytes) {
    const int64_t size = std::min(num_bytes - at, kPieceBytes);
    moves.push_back({from + at, to + at, size, size});
  }
}

void MoveBytes(Context& context, const std::byte* from, std::byte* to, int64_t num_bytes) {
  std::vector<RowMove> moves;
  AddMoves(from, to, num_bytes, moves);
  MoveRows(context, moves);
}

void GatherRows(Context& context, const RowGather& gather, int64_t num_rows) {
  Launch(context, "gathering rows", Blocks(num_rows, kThreads), &GatherRowsKernel, gather);
}

}  // namespace tramontane::cuda
