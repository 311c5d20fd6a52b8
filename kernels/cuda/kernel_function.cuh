// A kernel as the runtime knows it.
#ifndef TRAMONTANE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_
#define TRAMONTANE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_

#include <cuda_runtime.h>

#include "kernels/cuda/context.h"

namespace tramontane::cuda {

// What is launched; allows the kernel the shared memory that `shape` asks for.
template <typename... Parameters>
const void* KernelFunction(Context& context, const char* name, const LaunchShape& shape,
                           void (*kernel)(Parameters...)) {
  constexpr size_t kBytesWithoutLeave = 48 << 10;
  const void* const function = reinterpret_cast<const void*>(kernel);
  if (shape.shared_bytes > kBytesWithoutLeave) {
    context.Check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(shape.shared_bytes)),
                  name);
  }
  return function;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_
