// Starts kernels on a context's stream.
#ifndef TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_
#define TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda/context.h"

namespace tramontane::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic
};

// Queues `kernel(args…)`. Does nothing after an error, which stays in the context. `name` is for
// the error's message.
template <typename... Parameters, typename... Args>
void Launch(Context& context, const char* name, const LaunchShape& shape,
            void (*kernel)(Parameters...), const Args&... args) {
  constexpr size_t kBytesWithoutLeave = 48 << 10;
  if (context.failed()) return;
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  if (shape.shared_bytes > kBytesWithoutLeave) {
    context.Check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(shape.shared_bytes)),
                  name);
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = context.stream();
  context.Check(cudaLaunchKernelEx(&config, kernel, Parameters(args)...), name);
}

constexpr unsigned DivideUp(int64_t value, int64_t by) {
  return static_cast<unsigned>((value + by - 1) / by);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_
