// What becomes a graph, and what of it is set anew in a step: counted by the emulated runtime.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/layers_under_test.h"

namespace tramontane {
namespace {

constexpr int kLayers = 3;

class GraphCountsTest : public testing::Test {
 protected:
  ~GraphCountsTest() override { EmulateGraphErrors(cudaSuccess, cudaSuccess); }

  void Create(bool hops, int max_graphs = 256) {
    CudaBackendOptions options;
    options.graphs = true;
    options.max_graphs = max_graphs;
    auto backend = CreateCudaBackend(options);
    ASSERT_TRUE(backend.ok());
    backend_ = *std::move(backend);
    layers_ = std::make_unique<LayersUnderTest>(
        backend_.get(), LayersUnderTest::Options{.num_layers = kLayers, .hops = hops});
    Step({1}, 0);  // operations wait where they allocate their memory
  }

  // What a step has added to the counts.
  EmulatedCounts Step(const std::vector<int64_t>& rows_of_sequences, int64_t first_position) {
    const EmulatedCounts before = EmulatedLaunchCounts();
    const absl::Status done = layers_->Step(rows_of_sequences, first_position);
    EXPECT_TRUE(done.ok()) << done;
    const EmulatedCounts after = EmulatedLaunchCounts();
    return {after.graphs - before.graphs, after.graph_launches - before.graph_launches,
            after.node_updates - before.node_updates, after.launches - before.launches};
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<LayersUnderTest> layers_;
};

// A step of three layers is 51 calls: a piece of 16, and the rest.
TEST_F(GraphCountsTest, ASteadyDecodeIsTwoGraphsThatStayAsTheyAre) {
  Create(/*hops=*/false);
  EXPECT_EQ(Step({1, 1}, 33).graphs, 0);  // what comes for the first time is launched directly
  EmulatedCounts step = Step({1, 1}, 34);
  EXPECT_EQ(step.graphs, 2);
  for (int64_t position = 35; position < 40; ++position) {
    SCOPED_TRACE(position);
    step = Step({1, 1}, position);
    EXPECT_EQ(step.graphs, 0);
    EXPECT_EQ(step.graph_launches, 2);
    EXPECT_EQ(step.node_updates, 0);
    EXPECT_EQ(step.launches, 0);
  }
}

TEST_F(GraphCountsTest, ALongerPageTableChangesOneCopyAndAFurtherSplitEachLayersAttention) {
  Create(/*hops=*/false);
  for (int64_t position = 250; position < 256; ++position) Step({1, 1}, position);
  const EmulatedCounts step = Step({1, 1}, 256);
  EXPECT_EQ(step.graphs, 0);
  EXPECT_EQ(step.node_updates, 1 + 2 * kLayers);
  EXPECT_EQ(step.launches, 0);
  EXPECT_EQ(Step({1, 1}, 257).node_updates, 0);
}

// Layers between two hops are of one shape, but none is made to serve for another. What the experts
// get differs with the routing: two moves of rows and a few products a layer, launched directly
// unless the routing is that of an earlier step.
TEST_F(GraphCountsTest, SegmentsBetweenHopsAreAGraphALayer) {
  Create(/*hops=*/true);
  for (int64_t position = 33; position < 37; ++position) Step({1, 1}, position);
  for (int64_t position = 37; position < 40; ++position) {
    SCOPED_TRACE(position);
    const EmulatedCounts step = Step({1, 1}, position);
    EXPECT_LE(step.graphs, kLayers);
    EXPECT_GE(step.graph_launches, kLayers);
    EXPECT_LE(step.graph_launches, 2 * kLayers);
    EXPECT_LE(step.node_updates, kLayers);  // where the answers lie is a parameter of their sum
    EXPECT_LE(step.launches, 4 * kLayers);
  }
}

TEST_F(GraphCountsTest, BatchesThatNeverComeAgainMakeNoGraph) {
  Create(/*hops=*/false);
  for (int64_t rows = 3; rows < 12; ++rows) {
    const EmulatedCounts step = Step({rows, 2 * rows}, 0);
    EXPECT_EQ(step.graphs, 0);
    EXPECT_EQ(step.graph_launches, 0);
  }
}

TEST_F(GraphCountsTest, MoreListsThanGraphsLeaveThoseThatThereAre) {
  Create(/*hops=*/false, /*max_graphs=*/1);
  for (int64_t position = 33; position < 36; ++position) Step({1, 1}, position);
  for (int64_t position = 36; position < 40; ++position) {
    const EmulatedCounts step = Step({1, 1}, position);
    EXPECT_EQ(step.graphs, 0);
    EXPECT_EQ(step.graph_launches, 1);
    EXPECT_GT(step.launches, 0);
  }
}

TEST_F(GraphCountsTest, AGraphThatIsNoLongerOfUseMakesPlace) {
  Create(/*hops=*/false, /*max_graphs=*/2);
  for (int64_t position = 33; position < 36; ++position) Step({1, 1}, position);
  for (int64_t position = 36; position < 44; ++position) Step({1, 1, 1}, position);
  const EmulatedCounts step = Step({1, 1, 1}, 44);
  EXPECT_EQ(step.graph_launches, 2);
  EXPECT_EQ(step.launches, 0);
}

TEST_F(GraphCountsTest, AGraphThatCannotBeMadeIsLaunchedAsItsParts) {
  Create(/*hops=*/false);
  EmulateGraphErrors(cudaErrorMemoryAllocation, cudaSuccess);
  for (int64_t position = 33; position < 37; ++position) {
    const EmulatedCounts step = Step({1, 1}, position);
    EXPECT_EQ(step.graph_launches, 0);
    EXPECT_GT(step.launches, 0);
  }
}

TEST_F(GraphCountsTest, AGraphThatIsNotLaunchedIsAnErrorOfFinish) {
  Create(/*hops=*/false);
  EmulateGraphErrors(cudaSuccess, cudaErrorInvalidValue);
  ASSERT_TRUE(layers_->Step({1, 1}, 33).ok());
  const absl::Status step = layers_->Step({1, 1}, 34);  // the first with graphs
  EXPECT_EQ(step.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(step.message()), testing::HasSubstr("launching a graph"));
}

TEST_F(GraphCountsTest, WhatIsListedWhenABackendEndsIsNotLaunched) {
  Create(/*hops=*/false);
  auto memory = backend_->AllocateShared(16);
  ASSERT_TRUE(memory.ok());
  memory->bytes()[0] = std::byte{1};
  backend_->Copy(memory->bytes(), memory->bytes() + 8, 8);
  layers_ = nullptr;
  backend_ = nullptr;
  EXPECT_EQ(memory->bytes()[8], std::byte{0});
}

}  // namespace
}  // namespace tramontane
