#include "kernels/create_backend.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tramontane {

absl::StatusOr<std::optional<int>> ParseDevice(std::string_view device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  absl::string_view number(device.data(), device.size());
  int index = 0;
  if (absl::ConsumePrefix(&number, "cuda:") && number.size() <= 3 &&
      number.find_first_not_of("0123456789") == absl::string_view::npos &&
      absl::SimpleAtoi(number, &index)) {
    return index;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--device=", absl::string_view(device.data(), device.size()),
                   ": expected cpu, or cuda:N with the number of a device, such as cuda:0"));
}

absl::StatusOr<DType> ParseComputeDType(std::string_view compute) {
  if (compute == "bf16") return DType::kBF16;
  if (compute == "f32") return DType::kF32;
  return absl::InvalidArgumentError(absl::StrCat(
      "--compute=", absl::string_view(compute.data(), compute.size()), ": expected bf16 or f32"));
}

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options) {
  const absl::StatusOr<std::optional<int>> device = ParseDevice(options.device);
  if (!device.ok()) return device.status();
  if (!device->has_value()) return CreateHostBackend(options);
  CudaBackendOptions cuda;
  cuda.compute_dtype = options.compute_dtype;
  cuda.device = **device;
  cuda.graphs = options.cuda_graphs;
  cuda.num_host_threads = options.num_threads;
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateCudaBackend(cuda);
  if (!backend.ok()) {
    return absl::Status(backend.status().code(), absl::StrCat("--device=", options.device, ": ",
                                                              backend.status().message()));
  }
  return backend;
}

absl::StatusOr<std::unique_ptr<Backend>> CreateHostBackend(const BackendOptions& options) {
  CpuBackendOptions cpu;
  cpu.compute_dtype = options.compute_dtype;
  cpu.num_threads = options.num_threads;
  cpu.isa = options.isa;
  return CreateCpuBackend(cpu);
}

}  // namespace tramontane
