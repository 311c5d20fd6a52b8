// A test of kernels, run for every case that the program is about: instruction sets, or CUDA.
#ifndef TRAMONTANE_TESTS_KERNELS_KERNELS_TEST_H_
#define TRAMONTANE_TESTS_KERNELS_KERNELS_TEST_H_

#include <gtest/gtest.h>

#include "tests/kernels/kernels_case.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {

class KernelsTest : public testing::TestWithParam<KernelsCase> {
 protected:
  void SetUp() override {
    if (kernels_ == nullptr) GTEST_SKIP() << "no CUDA device: skipped";
  }

  DType compute_dtype() const { return GetParam().compute_dtype; }

  const std::unique_ptr<Backend> kernels_ = MakeKernels(GetParam());
  const std::unique_ptr<Backend> reference_ = CreateReferenceBackend(compute_dtype());
};

inline std::string KernelsTestName(const testing::TestParamInfo<KernelsCase>& case_of_test) {
  return KernelsCaseName(case_of_test.param);
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_KERNELS_TEST_H_
