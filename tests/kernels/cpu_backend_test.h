// A test of the CPU backend, run for every instruction set that the machine has and both dtypes.
#ifndef TRAMONTANE_TESTS_KERNELS_CPU_BACKEND_TEST_H_
#define TRAMONTANE_TESTS_KERNELS_CPU_BACKEND_TEST_H_

#include <gtest/gtest.h>

#include "tests/kernels/test_tensors.h"

namespace tramontane {

class CpuBackendTest : public testing::TestWithParam<CpuCase> {
 protected:
  DType compute_dtype() const { return GetParam().compute_dtype; }

  const std::unique_ptr<Backend> cpu_ = MakeCpuBackend(GetParam());
  const std::unique_ptr<Backend> reference_ = CreateReferenceBackend(compute_dtype());
};

inline std::string CpuTestName(const testing::TestParamInfo<CpuCase>& case_of_test) {
  return CpuCaseName(case_of_test.param);
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_CPU_BACKEND_TEST_H_
