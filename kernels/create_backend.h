// The backend that a process's flags ask for.
#ifndef TRAMONTANE_KERNELS_CREATE_BACKEND_H_
#define TRAMONTANE_KERNELS_CREATE_BACKEND_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/dtype.h"

namespace tramontane {

// As --device, --compute, --threads and --cpu_isa say it.
struct BackendOptions {
  std::string device = "cpu";  // "cpu", or "cuda:N" with the device's number; "cuda" is "cuda:0"
  DType compute_dtype = DType::kBF16;
  int num_threads = 0;       // as of CpuBackendOptions; on a device, what helps it on the host
  std::string isa;           // likewise; not read on a device
  bool cuda_graphs = false;  // as of CudaBackendOptions; not read but on a device
};

// The number of a CUDA device; absent for "cpu". INVALID_ARGUMENT for anything else.
absl::StatusOr<std::optional<int>> ParseDevice(std::string_view device);
// "bf16" or "f32", as --compute has it; INVALID_ARGUMENT for anything else.
absl::StatusOr<DType> ParseComputeDType(std::string_view compute);

// Fails as ParseDevice, CreateCpuBackend and CreateCudaBackend, naming the device that was asked
// for.
absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options);

// What else runs on the processors beside the device: the same but for the device.
absl::StatusOr<std::unique_ptr<Backend>> CreateHostBackend(const BackendOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_CREATE_BACKEND_H_
