// Steps that are launched as graphs compute what they compute without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/routed_experts.h"
#include "tests/kernels/layers_under_test.h"

namespace tramontane {
namespace {

class CudaGraphsTest : public testing::TestWithParam<LayersCase> {
 protected:
  void SetUp() override {
    if (!CreateCudaBackend({}).ok()) GTEST_SKIP() << "no CUDA device: skipped";
  }

  static std::unique_ptr<Backend> Create(bool graphs, int max_graphs) {
    CudaBackendOptions options;
    options.compute_dtype = GetParam().compute_dtype;
    options.graphs = graphs;
    options.max_graphs = max_graphs;
    auto backend = CreateCudaBackend(options);
    EXPECT_TRUE(backend.ok());
    return *std::move(backend);
  }

  // Hidden states of every step.
  static std::vector<std::vector<float>> Run(bool graphs, int max_graphs = 256) {
    const auto backend = Create(graphs, max_graphs);
    LayersUnderTest layers(backend.get(), {.num_layers = 2, .hops = GetParam().hops});
    std::vector<std::vector<float>> steps;
    const auto step = [&](const std::vector<int64_t>& rows_of_sequences, int64_t first_position) {
      const absl::Status done = layers.Step(rows_of_sequences, first_position);
      EXPECT_TRUE(done.ok()) << done;
      steps.push_back(layers.HiddenStates());
    };
    step({12, 9, 1}, 239);
    // Across the ends of a block of the cache and of a split of attention.
    for (int64_t position = 251; position < 259; ++position) step({1, 1, 1}, position);
    // Other batches, which come again.
    for (int64_t position = 260; position < 264; ++position) {
      step({1, 1}, position);
      step({1, 5, 1, 1}, position);
    }
    for (int64_t position = 264; position < 268; ++position) step({1, 1, 1}, position);
    return steps;
  }
};

INSTANTIATE_TEST_SUITE_P(, CudaGraphsTest, testing::ValuesIn(AllLayers()),
                         [](const auto& param) { return LayersCaseName(param.param); });

TEST_P(CudaGraphsTest, StepsHaveTheBitsOfStepsWithoutGraphs) {
  const auto expected = Run(/*graphs=*/false);
  const auto with_graphs = Run(/*graphs=*/true), with_two = Run(/*graphs=*/true, /*max_graphs=*/2);
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_TRUE(SameBits(expected[i], with_graphs[i]));
    EXPECT_TRUE(SameBits(expected[i], with_two[i]));
  }
  EXPECT_FALSE(SameBits(expected[1], expected[2]));
}

TEST_P(CudaGraphsTest, AnErrorOfAnOperationComesOutOfFinishAndStays) {
  const auto backend = Create(/*graphs=*/true, /*max_graphs=*/256);
  LayersUnderTest layers(backend.get(), {.num_layers = 1, .hops = GetParam().hops});
  for (int64_t position = 0; position < 4; ++position) {
    ASSERT_TRUE(layers.Step({1, 1}, position).ok());
  }
  const TestTensor weight = RandomTensor({16, 16}, backend->compute_dtype(), 1);
  const auto expert = backend->PackExpert(weight.view(), weight.view(), weight.view());
  ASSERT_TRUE(expert.ok());
  const std::vector<const PackedExpert*> experts(129, expert->get());
  const auto memory = backend->Allocate(4096);
  ASSERT_TRUE(memory.ok());
  backend->RoutedExperts(
      {experts, memory->bytes(), memory->as<int32_t>() + 256, memory->bytes() + 2048, 1, 2});
  const absl::Status finished = layers.Step({1, 1}, 4);
  EXPECT_EQ(finished.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(finished.message()), testing::HasSubstr("more than 128 experts"));
  EXPECT_EQ(layers.Step({1, 1}, 4), finished);
}

}  // namespace
}  // namespace tramontane
