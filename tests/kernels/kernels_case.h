// The kernels that a test program is about: those of the processor, or of CUDA.
#ifndef TRAMONTANE_TESTS_KERNELS_KERNELS_CASE_H_
#define TRAMONTANE_TESTS_KERNELS_KERNELS_CASE_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/dtype.h"

namespace tramontane {

// An instruction set that this machine has, or "cuda", with a compute dtype.
struct KernelsCase {
  std::string isa;
  DType compute_dtype;
};

// Each test program links one definition of these: cpu_kernels_case.cc or cuda_kernels_case.cc.
std::vector<KernelsCase> AllKernels();
// Takes memory of the host. Of the CPU with two threads, so that work is shared out even on a
// machine with one processor; of CUDA with graphs where TRAMONTANE_TEST_GRAPHS is set. Null where the machine lacks what the case needs: "no CUDA device".
std::unique_ptr<Backend> MakeKernels(const KernelsCase& kernels_case);
// Whether kernels are emulated, which takes long: tests then leave out what is large.
bool KernelsAreEmulated();

std::string KernelsCaseName(const KernelsCase& kernels_case);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_KERNELS_CASE_H_
