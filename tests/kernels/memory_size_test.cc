#include "kernels/cpu/memory_size.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using MemorySizeTest = KernelsTest;

INSTANTIATE_TEST_SUITE_P(Cpu, MemorySizeTest, testing::ValuesIn(AllKernels()), KernelsTestName);

TEST_P(MemorySizeTest, APackedMatrixHasTheBytesThatItsSizesSay) {
  // Around whole panels of 64 columns and whole pairs of rows.
  for (const int64_t out_features : {1, 63, 64, 65, 200}) {
    for (const int64_t in_features : {1, 2, 33, 128}) {
      const TestTensor weight = RandomTensor({out_features, in_features}, DType::kBF16, 1);
      const TensorView view = weight.view();
      const auto packed = kernels_->Pack({&view, 1});
      ASSERT_TRUE(packed.ok()) << packed.status();
      EXPECT_EQ(static_cast<int64_t>((*packed)->num_bytes()),
                cpu::PackedMatrixBytes(out_features, in_features, compute_dtype()))
          << out_features << " x " << in_features;
    }
  }
}

TEST_P(MemorySizeTest, APackedExpertHasTheBytesThatItsSizesSay) {
  for (const int64_t hidden_size : {16, 65}) {
    for (const int64_t intermediate_size : {31, 32, 33, 96}) {
      const TestTensor w1 = RandomTensor({intermediate_size, hidden_size}, DType::kF32, 1);
      const TestTensor w2 = RandomTensor({hidden_size, intermediate_size}, DType::kF32, 2);
      const auto packed = kernels_->PackExpert(w1.view(), w1.view(), w2.view());
      ASSERT_TRUE(packed.ok()) << packed.status();
      EXPECT_EQ(static_cast<int64_t>((*packed)->num_bytes()),
                cpu::PackedExpertBytes(hidden_size, intermediate_size, compute_dtype()))
          << hidden_size << " x " << intermediate_size;
    }
  }
}

TEST(MemorySizeOfMixtralTest, WholePanelsTakeNoMoreThanTheWeights) {
  // Mixtral 8x7B: three matrices of 14,336 x 4,096.
  const int64_t weights = int64_t{3} * 14'336 * 4'096;
  EXPECT_EQ(cpu::PackedExpertBytes(4'096, 14'336, DType::kBF16), 2 * weights);
  EXPECT_EQ(cpu::PackedExpertBytes(4'096, 14'336, DType::kF32), 4 * weights);
}

}  // namespace
}  // namespace tramontane
