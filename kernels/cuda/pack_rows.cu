#include "kernels/cuda/pack_rows.h"

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_tiles.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ int64_t PackedRow(const PackRows& args, int64_t row) {
  if (args.placement == RowPlacement::kInOrder) return row;
  return InterleavedRow(row, args.placement == RowPlacement::kUp);
}

// A block of threads a row. What is padding stays as it is: zero.
__global__ void __launch_bounds__(kThreads) PackRowsKernel(const PackRows args) {
  LetNextStart();
  AwaitPrevious();
  const std::byte* const source =
      args.source +
      blockIdx.x * args.in_features * (args.dtype == DType::kF32 ? int64_t{4} : int64_t{2});
  const int64_t row = PackedRow(args, args.first_row + blockIdx.x);
  for (int64_t k = threadIdx.x; k < args.in_features; k += kThreads) {
    const float weight = LoadElement(source, args.dtype, k);
    const int64_t index = args.compute_dtype == DType::kF32
                              ? row * args.padded_in_features + k
                              : PackedIndex(row, k, args.padded_in_features / kBlockK);
    StoreElement(args.packed, args.compute_dtype, index, weight);
  }
}

}  // namespace

void LaunchPackRows(Context& context, const PackRows& args) {
  Launch(context, "packing weights", Blocks(args.num_rows, kThreads), &PackRowsKernel, args);
}

}  // namespace tramontane::cuda
