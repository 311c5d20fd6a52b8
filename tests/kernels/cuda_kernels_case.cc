#include <cstdlib>
#include <utility>

#include "tests/kernels/host_memory_backend.h"
#include "tests/kernels/kernels_case.h"

namespace tramontane {

std::vector<KernelsCase> AllKernels() { return {{"cuda", DType::kBF16}, {"cuda", DType::kF32}}; }

std::unique_ptr<Backend> MakeKernels(const KernelsCase& kernels_case) {
  CudaBackendOptions options;
  options.compute_dtype = kernels_case.compute_dtype;
  options.graphs = std::getenv("TRAMONTANE_TEST_GRAPHS") != nullptr;
  auto backend = CreateCudaBackend(options);
  return backend.ok() ? WithHostMemory(*std::move(backend)) : nullptr;
}

std::string KernelsCaseName(const KernelsCase& kernels_case) {
  return kernels_case.isa + "_" + std::string(DTypeName(kernels_case.compute_dtype));
}

}  // namespace tramontane
