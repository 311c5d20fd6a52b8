// A server that has started allocates nothing more, however large its batches become.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/layers_under_test.h"

namespace tramontane {
namespace {

class SteadyMemoryTest : public testing::TestWithParam<LayersCase> {
 protected:
  void Create(CudaBackendOptions options) {
    options.compute_dtype = GetParam().compute_dtype;
    auto backend = CreateCudaBackend(options);
    ASSERT_TRUE(backend.ok());
    backend_ = *std::move(backend);
    layers_ = std::make_unique<LayersUnderTest>(backend_.get(),
                                                LayersUnderTest::Options{1, GetParam().hops});
  }

  void Step(const std::vector<int64_t>& rows_of_sequences, int64_t first_position) {
    ASSERT_TRUE(layers_->Step(rows_of_sequences, first_position).ok());
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<LayersUnderTest> layers_;
};

INSTANTIATE_TEST_SUITE_P(, SteadyMemoryTest, testing::ValuesIn(AllLayers()),
                         [](const auto& param) { return LayersCaseName(param.param); });

TEST_P(SteadyMemoryTest, LargerStepsAllocateNothingAfterASmallOne) {
  Create({});
  Step({1}, 0);
  const int after_start = EmulatedNumAllocations();
  EXPECT_GT(after_start, 0);
  Step({3, 1}, 0);
  Step({1, 1, 1, 5}, 300);
  Step({80, 1, 1}, 500);
  Step({1}, 900);
  Step({LayersUnderTest::kMaxTokens}, 0);
  Step({2, 2, 2, 2, 2, 2, 2}, 700);
  EXPECT_EQ(EmulatedNumAllocations(), after_start);
}

// What is larger than its bound is allocated once, and kept.
TEST_P(SteadyMemoryTest, RowsThatExceedTheStagedMemoryAreStagedAllTheSame) {
  CudaBackendOptions options;
  options.staging_bytes = 1;
  Create(options);
  Step({80, 1, 1}, 500);
  Step({80, 1, 1}, 500);
  const int after_start = EmulatedNumAllocations();
  Step({80, 1, 1}, 500);
  EXPECT_EQ(EmulatedNumAllocations(), after_start);
}

}  // namespace
}  // namespace tramontane
