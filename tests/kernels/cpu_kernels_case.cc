#include "kernels/cpu/isa.h"
#include "model/check.h"
#include "tests/kernels/kernels_case.h"

namespace tramontane {

std::vector<KernelsCase> AllKernels() {
  std::vector<KernelsCase> cases;
  for (const char* isa : {"avx512_bf16", "avx512", "avx2", "portable"}) {
    if (cpu::FindKernels(isa) == nullptr) continue;
    cases.push_back({isa, DType::kBF16});
    // In f32 mode avx512_bf16 is avx512.
    if (std::string(isa) != "avx512_bf16") cases.push_back({isa, DType::kF32});
  }
  return cases;
}

std::unique_ptr<Backend> MakeKernels(const KernelsCase& kernels_case) {
  CpuBackendOptions options;
  options.isa = kernels_case.isa;
  options.compute_dtype = kernels_case.compute_dtype;
  options.num_threads = 2;
  auto backend = CreateCpuBackend(options);
  TRAMONTANE_CHECK(backend.ok());
  return *std::move(backend);
}

bool KernelsAreEmulated() { return false; }

std::string KernelsCaseName(const KernelsCase& kernels_case) {
  return kernels_case.isa + "_" + std::string(DTypeName(kernels_case.compute_dtype));
}

}  // namespace tramontane
