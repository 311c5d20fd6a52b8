#include "kernels/cuda/scratch.h"

#include <cuda_runtime.h>

#include "kernels/cuda/context.h"
#include "kernels/round_up.h"

namespace tramontane::cuda {

Scratch::~Scratch() { (void)cudaFree(bytes_); }

std::byte* Scratch::Reserve(Context& context, int64_t num_bytes) {
  if (num_bytes <= size_ || context.failed()) return bytes_;
  // Kernels may still use it.
  context.Wait();
  context.Check(cudaFree(bytes_), "freeing scratch memory");
  bytes_ = nullptr;
  size_ = 0;
  const int64_t size = RoundUp(num_bytes, 4096);
  void* bytes = nullptr;
  context.Check(cudaMalloc(&bytes, static_cast<size_t>(size)), allocating_);
  if (context.failed()) return nullptr;
  bytes_ = static_cast<std::byte*>(bytes);
  size_ = size;
  return bytes_;
}

}  // namespace tramontane::cuda
