#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 512;

// A block of threads a row. Thread i adds the squares of elements i, i + kThreads, … in order; then
// those sums are added in one tree.
__global__ void __launch_bounds__(kThreads) RmsNormKernel(const RmsNormArgs args) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float shared[kThreads / kWarpSize];
  const int64_t first = blockIdx.x * args.hidden_size;
  const float* const x = args.input + first;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < args.hidden_size; i += kThreads) {
    squares = fmaf(x[i], x[i], squares);
  }
  const float mean =
      __fdiv_rn(BlockSum<kThreads>(squares, shared), static_cast<float>(args.hidden_size));
  const float scale = __fdiv_rn(1.0f, __fsqrt_rn(mean + args.epsilon));
  for (int64_t i = threadIdx.x; i < args.hidden_size; i += kThreads) {
    StoreElement(args.output, args.output_dtype, first + i, args.weight[i] * (x[i] * scale));
  }
}

}  // namespace

void RmsNorm(Context& context, const RmsNormArgs& args) {
  Launch(context, "RmsNorm", Blocks(args.num_tokens, kThreads), &RmsNormKernel, args);
}

}  // namespace tramontane::cuda
