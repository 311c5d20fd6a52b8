#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 512;
// So many elements of a thread are read at once, and kept.
constexpr int kKept = 8;

// A block of threads a row. Thread i adds the squares of elements i, i + kThreads, … in order; then
// those sums are added in one tree.
__global__ void __launch_bounds__(kThreads) RmsNormKernel(const RmsNormArgs args) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float shared[kThreads / kWarpSize];
  const int64_t first = blockIdx.x * args.hidden_size;
  const float* const input = args.input + first;
  float x[kKept], weight[kKept];
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int64_t i = threadIdx.x + k * kThreads;
    x[k] = i < args.hidden_size ? input[i] : 0.0f;
    weight[k] = i < args.hidden_size ? args.weight[i] : 0.0f;
  }
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kKept; ++k) squares = fmaf(x[k], x[k], squares);
  for (int64_t i = threadIdx.x + kKept * kThreads; i < args.hidden_size; i += kThreads) {
    squares = fmaf(input[i], input[i], squares);
  }
  const float mean =
      __fdiv_rn(BlockSum<kThreads>(squares, shared), static_cast<float>(args.hidden_size));
  const float scale = __fdiv_rn(1.0f, __fsqrt_rn(mean + args.epsilon));
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int64_t i = threadIdx.x + k * kThreads;
    if (i >= args.hidden_size) return;
    StoreElement(args.output, args.output_dtype, first + i, weight[k] * (x[k] * scale));
  }
  for (int64_t i = threadIdx.x + kKept * kThreads; i < args.hidden_size; i += kThreads) {
    StoreElement(args.output, args.output_dtype, first + i, args.weight[i] * (input[i] * scale));
  }
}

}  // namespace

void RmsNorm(Context& context, const RmsNormArgs& args) {
  Launch(context, "RmsNorm", Blocks(args.num_tokens, kThreads), &RmsNormKernel, args);
}

}  // namespace tramontane::cuda
