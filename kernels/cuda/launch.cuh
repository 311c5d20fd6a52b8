// Queues kernels in a context.
#ifndef TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_
#define TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/context.h"
#include "kernels/cuda/kernel_function.cuh"

namespace tramontane::cuda {

// Zeros padding, where the compiler can, so that equal parameters are of equal bytes: a graph's
// node whose parameters have not changed is left alone.
template <typename T>
void ClearPadding(T& value) {
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&value);
#endif
}

// Queues `kernel(args…)`. Does nothing after an error, which stays in the context. `name` is for
// the error's message.
template <typename... Parameters, typename... Args>
void Launch(Context& context, const char* name, const LaunchShape& shape,
            void (*kernel)(Parameters...), const Args&... args) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "they are copied as bytes");
  static_assert((size_t{0} + ... + sizeof(Parameters)) <= 4096, "parameters of a kernel");
  if (context.failed()) return;
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  const void* const function = KernelFunction(context, name, shape, kernel);
  const auto queue = [&](Parameters... values) {
    (ClearPadding(values), ...);
    void* parameters[] = {&values...};
    const size_t sizes[] = {sizeof(Parameters)...};
    context.Queue({name, function, shape, parameters, sizes});
  };
  queue(args...);
}

// A row of `count` blocks of `num_threads` threads each.
inline LaunchShape Blocks(int64_t count, int num_threads) {
  return {dim3(static_cast<unsigned>(count)), dim3(static_cast<unsigned>(num_threads))};
}

constexpr unsigned DivideUp(int64_t value, int64_t by) {
  return static_cast<unsigned>((value + by - 1) / by);
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_LAUNCH_CUH_
