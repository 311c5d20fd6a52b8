#include "kernels/cuda/context.h"

#include <algorithm>
#include <cstdlib>

namespace tramontane::cuda {
namespace {

constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

Scratch::~Scratch() { (void)cudaFree(bytes_); }

std::byte* Scratch::Reserve(Context& context, int64_t num_bytes) {
  if (num_bytes <= size_ || context.failed()) return bytes_;
  // Kernels may still use it.
  context.Check(cudaStreamSynchronize(context.stream()), "running queued operations");
  context.Check(cudaFree(bytes_), "freeing scratch memory");
  bytes_ = nullptr;
  size_ = 0;
  const int64_t size = RoundUp(num_bytes, 4096);
  void* bytes = nullptr;
  context.Check(cudaMalloc(&bytes, static_cast<size_t>(size)), "allocating scratch memory");
  if (context.failed()) return nullptr;
  bytes_ = static_cast<std::byte*>(bytes);
  size_ = size;
  return bytes_;
}

Context::Context(const ContextOptions& options, cudaStream_t stream)
    : device(options.device),
      compute_dtype(options.compute_dtype),
      max_rows(options.max_rows),
      max_partial_bytes(options.max_partial_bytes),
      staging_bytes(options.staging_bytes),
      stream_(stream) {}

Context::~Context() {
  Use();
  (void)cudaStreamSynchronize(stream_);
  ReleaseBlocks();
  (void)cudaFree(inverse_frequencies);
  (void)cudaStreamDestroy(stream_);
}

void Context::Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess || failed()) return;
  error_ = error;
  failed_call_ = call;
}

std::byte* Context::Stage(int64_t num_bytes) {
  const int64_t size = RoundUp(num_bytes, 16);
  if (blocks_.empty() || blocks_.back().size - used_ < size) {
    const int64_t next = blocks_.empty() ? staging_bytes : 2 * blocks_.back().size;
    Block block = {nullptr, std::max(next, size), true};
    void* bytes = nullptr;
    Check(cudaHostAlloc(&bytes, static_cast<size_t>(block.size),
                        cudaHostAllocMapped | cudaHostAllocPortable),
          "allocating pinned memory for staging");
    if (bytes == nullptr) {
      // Nothing is queued any more; callers may still write here.
      block.pinned = false;
      bytes = std::malloc(static_cast<size_t>(block.size));
      if (bytes == nullptr) std::abort();
    }
    block.bytes = static_cast<std::byte*>(bytes);
    blocks_.push_back(block);
    used_ = 0;
  }
  std::byte* staged = blocks_.back().bytes + used_;
  used_ += size;
  return staged;
}

void Context::Finish() {
  Check(cudaStreamSynchronize(stream_), "running queued operations");
  used_ = 0;
  // The last block, at least as large as all others, serves alone from now on.
  while (blocks_.size() > 1) {
    const Block block = blocks_.front();
    if (block.pinned) {
      (void)cudaFreeHost(block.bytes);
    } else {
      std::free(block.bytes);
    }
    blocks_.erase(blocks_.begin());
  }
}

void Context::ReleaseBlocks() {
  for (const Block& block : blocks_) {
    if (block.pinned) {
      (void)cudaFreeHost(block.bytes);
    } else {
      std::free(block.bytes);
    }
  }
  blocks_.clear();
}

}  // namespace tramontane::cuda
