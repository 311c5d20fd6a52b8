#include "absl/status/status.h"
#include "kernels/backend.h"

namespace tramontane {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions&) {
  return absl::FailedPreconditionError(
      "expected a build with CUDA, found that this one has none; build with the CMake preset cuda "
      "(docs/kernels.md), or compute on the CPU");
}

}  // namespace tramontane
