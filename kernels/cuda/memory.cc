#include "kernels/cuda/memory.h"

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"

namespace tramontane::cuda {
namespace {

// Which addresses are kernels' memory, and of which device. Buffers may outlive their backend, so
// this is the process's.
class Ranges {
 public:
  static Ranges& Get() {
    static Ranges* const ranges = new Ranges;  // never destroyed: buffers may be, after main
    return *ranges;
  }

  enum class Kind { kNone, kDevice, kPinned };

  // Of the calling thread's current device.
  void Add(const std::byte* begin, size_t size, Kind kind) {
    int device = 0;
    (void)cudaGetDevice(&device);
    const std::lock_guard<std::mutex> lock(mutex_);
    ranges_[begin] = {size, device, kind};
  }

  // Makes its device the calling thread's current one, as whoever frees it must: the runtime would
  // set up another device for a thread that has none, which may be somebody else's.
  void Remove(const std::byte* begin) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto found = ranges_.find(begin);
    if (found == ranges_.end()) return;
    const int device = found->second.device;
    ranges_.erase(found);
    lock.unlock();
    (void)cudaSetDevice(device);
  }

  Kind KindOf(const std::byte* bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto after = ranges_.upper_bound(bytes);
    if (after == ranges_.begin()) return Kind::kNone;
    --after;
    if (static_cast<size_t>(bytes - after->first) >= after->second.size) return Kind::kNone;
    return after->second.kind;
  }

 private:
  struct Range {
    size_t size;
    int device;
    Kind kind;
  };

  std::mutex mutex_;
  std::map<const std::byte*, Range, std::less<>> ranges_ ABSL_GUARDED_BY(mutex_);
};

// Frees wait for what has reached the stream. Calls that are only listed, for a graph, have not:
// who gives memory back calls Finish first.
void ReleaseDevice(std::byte* bytes, size_t) {
  Ranges::Get().Remove(bytes);
  (void)cudaFree(bytes);  // an error here is an earlier one, which Finish reports
}

void ReleasePinned(std::byte* bytes, size_t) {
  Ranges::Get().Remove(bytes);
  (void)cudaFreeHost(bytes);
}

// INTERNAL: memory is not what is missing; the device may be lost.
absl::Status AllocationFailed(size_t num_bytes, cudaError_t error) {
  return absl::InternalError(absl::StrCat(
      "allocating ", num_bytes, " bytes for the CUDA device: ", cudaGetErrorString(error)));
}

absl::Status OutOfDeviceMemory(size_t num_bytes, cudaError_t error) {
  (void)cudaGetLastError();
  if (error != cudaErrorMemoryAllocation) return AllocationFailed(num_bytes, error);
  size_t free_bytes = 0, total_bytes = 0;
  (void)cudaMemGetInfo(&free_bytes, &total_bytes);
  return absl::ResourceExhaustedError(absl::StrCat(
      "expected ", num_bytes, " bytes of device memory, found ", free_bytes, " free of ",
      total_bytes,
      "; host fewer experts on this device, hold fewer tokens in its KV cache, or end what else "
      "runs there"));
}

}  // namespace

absl::StatusOr<Buffer> AllocateDevice(size_t num_bytes) {
  if (num_bytes == 0) return Buffer();
  void* bytes = nullptr;
  cudaError_t error = cudaMalloc(&bytes, num_bytes);
  if (error != cudaSuccess) return OutOfDeviceMemory(num_bytes, error);
  Ranges::Get().Add(static_cast<std::byte*>(bytes), num_bytes, Ranges::Kind::kDevice);
  Buffer buffer(static_cast<std::byte*>(bytes), num_bytes, &ReleaseDevice);
  error = cudaMemset(bytes, 0, num_bytes);
  // The default stream's work is not ordered with that of streams which do not block on it.
  if (error == cudaSuccess) error = cudaStreamSynchronize(nullptr);
  if (error != cudaSuccess) return OutOfDeviceMemory(num_bytes, error);
  return buffer;
}

absl::StatusOr<Buffer> AllocatePinned(size_t num_bytes) {
  if (num_bytes == 0) return Buffer();
  void* bytes = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&bytes, num_bytes, cudaHostAllocMapped | cudaHostAllocPortable);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    if (error != cudaErrorMemoryAllocation) return AllocationFailed(num_bytes, error);
    return absl::ResourceExhaustedError(absl::StrCat(
        "expected ", num_bytes, " bytes of pinned memory, found that there are not that many (",
        cudaGetErrorString(error), "); raise the limit of locked memory, or stop other processes"));
  }
  std::memset(bytes, 0, num_bytes);
  Ranges::Get().Add(static_cast<std::byte*>(bytes), num_bytes, Ranges::Kind::kPinned);
  return Buffer(static_cast<std::byte*>(bytes), num_bytes, &ReleasePinned);
}

bool IsKernelMemory(const void* bytes) {
  return Ranges::Get().KindOf(static_cast<const std::byte*>(bytes)) != Ranges::Kind::kNone;
}

bool IsPinnedMemory(const void* bytes) {
  return Ranges::Get().KindOf(static_cast<const std::byte*>(bytes)) == Ranges::Kind::kPinned;
}

}  // namespace tramontane::cuda
