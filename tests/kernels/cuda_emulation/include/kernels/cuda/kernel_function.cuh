// A kernel as the emulated runtime knows it: as kernels/cuda/kernel_function.cuh.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_

#include <cuda_runtime.h>

#include <utility>

#include "kernels/cuda/context.h"
#include "model/check.h"

namespace tramontane::cuda {

template <typename... Parameters>
const void* KernelFunction(Context&, const char*, const LaunchShape& shape,
                           void (*kernel)(Parameters...)) {
  // What every device from 8.0 on takes, and one with warpgroups.
  TRAMONTANE_CHECK(shape.block.x * shape.block.y * shape.block.z <= 1024);
  TRAMONTANE_CHECK(shape.shared_bytes <= size_t{shape.warpgroups ? 227u : 99u} * 1024);
  TRAMONTANE_CHECK(shape.grid.y <= 65535 && shape.grid.z <= 65535);
  const void* const function = reinterpret_cast<const void*>(kernel);
  EmulatedKernel emulated;
  emulated.call = [](const void* called, void** parameters) {
    [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
      reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(called))(
          *static_cast<Parameters*>(parameters[kIndex])...);
    }
    (std::index_sequence_for<Parameters...>());
  };
  emulated.parameter_sizes = {sizeof(Parameters)...};
  EmulatedDeclare(function, emulated);
  return function;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_KERNEL_FUNCTION_CUH_
