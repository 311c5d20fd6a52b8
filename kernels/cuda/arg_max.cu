#include "kernels/arg_max.h"

#include "kernels/cuda/greatest.cuh"
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 1024;

// A block of threads a row.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) ArgMaxKernel(const ArgMaxArgs args) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float values[kWarpSize];
  __shared__ int32_t columns[kWarpSize];
  const Greatest greatest = GreatestOfRow<kThreads, kWidth>(
      args.rows + blockIdx.x * args.num_columns, args.num_columns, values, columns);
  if (threadIdx.x == 0) args.ids[blockIdx.x] = greatest.column;
}

}  // namespace

void ArgMax(Context& context, const ArgMaxArgs& args) {
  Launch(context, "ArgMax", Blocks(args.num_rows, kThreads),
         AreVectors(args.rows, args.num_columns) ? &ArgMaxKernel<4> : &ArgMaxKernel<1>, args);
}

}  // namespace tramontane::cuda
