// Which kernels may start before the one ahead of them has ended: counted by the emulated runtime.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"
#include "kernels/matmul.h"
#include "tests/kernels/layers_under_test.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {
namespace {

class EarlyStartsTest : public testing::Test {
 protected:
  ~EarlyStartsTest() override { EmulateMachine({}); }

  static void SetCapability(int major) {
    EmulatedMachine machine;
    machine.major = major;
    EmulateMachine(machine);
  }

  void Create(int major, bool graphs = false) {
    SetCapability(major);
    CudaBackendOptions options;
    options.graphs = graphs;
    auto backend = CreateCudaBackend(options);
    ASSERT_TRUE(backend.ok());
    backend_ = *std::move(backend);
  }

  // What `queue` has added to the counts.
  template <typename Queue>
  static EmulatedCounts Count(const Queue& queue) {
    const EmulatedCounts before = EmulatedLaunchCounts();
    queue();
    const EmulatedCounts after = EmulatedLaunchCounts();
    EmulatedCounts added;
    added.launches = after.launches - before.launches;
    added.early_starts = after.early_starts - before.early_starts;
    added.early_edges = after.early_edges - before.early_edges;
    added.graphs = after.graphs - before.graphs;
    return added;
  }

  EmulatedCounts CountStep() {
    LayersUnderTest layers(backend_.get(), {.num_layers = 2});
    EXPECT_TRUE(layers.Step({1}, 0).ok());
    return Count([&] { EXPECT_TRUE(layers.Step({1}, 1).ok()); });
  }

  std::unique_ptr<Backend> backend_;
};

// All but the first, and the one behind the copy of the batch's plan.
TEST_F(EarlyStartsTest, KernelsBehindKernelsStartEarly) {
  Create(9);
  const EmulatedCounts step = CountStep();
  EXPECT_GT(step.launches, 20);
  EXPECT_GE(step.early_starts, step.launches - 2);
}

TEST_F(EarlyStartsTest, DevicesThatCannotAreNotAskedTo) {
  Create(8);
  const EmulatedCounts step = CountStep();
  EXPECT_GT(step.launches, 20);
  EXPECT_EQ(step.early_starts, 0);
}

// All but the first of a list, and those on either side of a copy.
TEST_F(EarlyStartsTest, ListedKernelsBehindKernelsStartEarlyInGraphsAndWithout) {
  Create(9, /*graphs=*/true);
  LayersUnderTest layers(backend_.get(), {.num_layers = 2});
  EXPECT_TRUE(layers.Step({1}, 0).ok());
  const auto step = [&] { EXPECT_TRUE(layers.Step({1}, 1).ok()); };
  const EmulatedCounts listed = Count(step);
  EXPECT_GT(listed.launches, 20);
  EXPECT_GE(listed.early_starts, listed.launches - 4);
  const EmulatedCounts in_graphs = Count([&] {
    for (int i = 0; i < 3; ++i) step();
  });
  EXPECT_GT(in_graphs.graphs, 0);
  EXPECT_GT(in_graphs.early_edges, 15);
}

TEST_F(EarlyStartsTest, GraphsOfDevicesThatCannotHaveNone) {
  Create(8, /*graphs=*/true);
  LayersUnderTest layers(backend_.get(), {.num_layers = 2});
  const EmulatedCounts steps = Count([&] {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(layers.Step({1}, i).ok());
  });
  EXPECT_GT(steps.graphs, 0);
  EXPECT_EQ(steps.early_starts, 0);
  EXPECT_EQ(steps.early_edges, 0);
}

// The weights are read before the kernel ahead has ended: they must be there.
TEST_F(EarlyStartsTest, AProductBehindThePackingOfWeightsAwaitsIt) {
  Create(9);
  const TestTensor weight = RandomTensor({16, 64}, DType::kBF16, 1);
  const auto rows = backend_->Allocate(128), sums = backend_->Allocate(64);
  ASSERT_TRUE(rows.ok() && sums.ok());
  auto packed = backend_->Pack({{weight.view()}});
  ASSERT_TRUE(packed.ok());
  MatMulArgs args;
  args.weight = packed->get();
  args.input = rows->bytes();
  args.output = sums->as<float>();
  args.num_rows = 1;
  const EmulatedCounts first = Count([&] { backend_->MatMul(args); });
  EXPECT_EQ(first.launches, 1);
  EXPECT_EQ(first.early_starts, 0);
  EXPECT_EQ(Count([&] { backend_->MatMul(args); }).early_starts, 1);
  EXPECT_TRUE(backend_->Finish().ok());
}

TEST_F(EarlyStartsTest, ARefusalIsAnErrorOfFinish) {
  Create(9);
  SetCapability(8);
  LayersUnderTest layers(backend_.get(), {.num_layers = 1});
  const absl::Status step = layers.Step({1}, 0);
  EXPECT_EQ(step.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(step.message()), testing::HasSubstr("RmsNorm"));
}

}  // namespace
}  // namespace tramontane
