// Attention in float32, for the exact mode and for heads of unusual size.
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kColumns = kMaxHeadDim / kWarpSize;  // of a lane

// A warp a row and head: key after key in order, with an online softmax. Lane i has the columns i,
// i + 32, …
__global__ void __launch_bounds__(kWarps* kWarpSize)
    AttendInFloatKernel(const __grid_constant__ Attention args) {
  LetNextStart();
  AwaitPrevious();
  const int lane = threadIdx.x % kWarpSize;
  const int head = static_cast<int>(blockIdx.y) * kWarps + threadIdx.x / kWarpSize;
  if (head >= args.num_heads) return;
  const KvLayer& cache = args.cache;
  const auto head_dim = static_cast<int>(cache.head_dim);
  const int64_t row = blockIdx.x;
  const PlannedRow planned = args.rows[row];
  const int32_t* const pages = args.pages + planned.first_page;
  const float* const query =
      args.qkv + (row * (args.num_heads + 2 * cache.num_kv_heads) + head) * head_dim;
  float q[kColumns], sums[kColumns];
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int column = lane + i * kWarpSize;
    q[i] = column < head_dim ? query[column] : 0.0f;
    sums[i] = 0;
  }
  float max = -INFINITY, weight = 0;
  for (int p = FirstVisible(args, planned.position); p <= planned.position; ++p) {
    const int64_t first = KvElement(cache, pages, head / args.group, p);
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int column = lane + i * kWarpSize;
      if (column < head_dim) {
        dot = fmaf(q[i], LoadElement(cache.keys, cache.dtype, first + column), dot);
      }
    }
    const float score = WarpSum(dot) * args.scale;
    const float raised = fmaxf(max, score);
    const float rescale = expf(max - raised), own = expf(score - raised);
    max = raised;
    weight = fmaf(weight, rescale, own);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int column = lane + i * kWarpSize;
      if (column < head_dim) {
        sums[i] =
            fmaf(own, LoadElement(cache.values, cache.dtype, first + column), sums[i] * rescale);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int column = lane + i * kWarpSize;
    if (column < head_dim) {
      StoreElement(args.output, args.output_dtype,
                   (row * args.num_heads + head) * head_dim + column, Attended(sums[i], weight));
    }
  }
}

}  // namespace

void AttendInFloat(Context& context, const Attention& args, int64_t num_tokens) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(num_tokens), DivideUp(args.num_heads, kWarps));
  shape.block = dim3(kWarps * kWarpSize);
  Launch(context, "attention in float32", shape, &AttendInFloatKernel, args);
}

}  // namespace tramontane::cuda
