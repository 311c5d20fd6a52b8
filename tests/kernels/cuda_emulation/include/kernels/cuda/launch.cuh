// Launches for the emulation: as kernels/cuda/launch.cuh.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_LAUNCH_CUH_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <tuple>

#include "kernels/cuda/context.h"
#include "model/check.h"

namespace tramontane::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

template <typename... Parameters, typename... Args>
void Launch(Context& context, const char*, const LaunchShape& shape, void (*kernel)(Parameters...),
            const Args&... args) {
  if (context.failed()) return;
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  // What every device from 8.0 on takes.
  TRAMONTANE_CHECK(shape.block.x * shape.block.y * shape.block.z <= 1024);
  TRAMONTANE_CHECK(shape.shared_bytes <= 99 * 1024);
  TRAMONTANE_CHECK(shape.grid.y <= 65535 && shape.grid.z <= 65535);
  static_assert((size_t{0} + ... + sizeof(Parameters)) <= 4096, "parameters of a kernel");
  EmulatedEnqueue([shape, kernel, parameters = std::tuple<Parameters...>(args...)] {
    emulation::RunGrid({shape.grid.x, shape.grid.y, shape.grid.z},
                       {shape.block.x, shape.block.y, shape.block.z}, shape.shared_bytes,
                       [&] { std::apply(kernel, parameters); });
  });
}

constexpr unsigned DivideUp(int64_t value, int64_t by) {
  return static_cast<unsigned>((value + by - 1) / by);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_LAUNCH_CUH_
