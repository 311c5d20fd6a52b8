// Memory of CUDA backends: the devices', and the host's that kernels read and write, too.
#ifndef TRAMONTANE_KERNELS_CUDA_MEMORY_H_
#define TRAMONTANE_KERNELS_CUDA_MEMORY_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/buffer.h"

namespace tramontane::cuda {

// Both give zeros, on the calling thread's current device, aligned to 64 bytes or more, and
// RESOURCE_EXHAUSTED with needed and free bytes, or INTERNAL where it is not memory that is
// missing. They may be freed by any thread, whose current device is theirs then. 0 bytes is an
// empty buffer. The zeros of device memory are written ahead of what is queued on any stream later.
absl::StatusOr<Buffer> AllocateDevice(size_t num_bytes);
absl::StatusOr<Buffer> AllocatePinned(size_t num_bytes);

// Whether `bytes` lies in a buffer that one of the two gave and that is still there, so that
// kernels may read it. Thread-safe.
bool IsKernelMemory(const void* bytes);
// Whether it is the host's. Thread-safe.
bool IsPinnedMemory(const void* bytes);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_MEMORY_H_
