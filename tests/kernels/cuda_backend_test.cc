#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/combine_experts.h"
#include "kernels/routed_experts.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {
namespace {

class CudaBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    auto backend = CreateCudaBackend({});
    if (!backend.ok()) GTEST_SKIP() << "no CUDA device: skipped";
    backend_ = *std::move(backend);
  }

  std::unique_ptr<Backend> backend_;
};

TEST(CudaBackendOptionsTest, AnF16ComputeDtypeIsAnInvalidArgument) {
  EXPECT_EQ(CreateCudaBackend({DType::kF16, 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CudaBackendOptionsTest, ABoundOfNothingIsAnInvalidArgument) {
  CudaBackendOptions options;
  options.max_rows = 0;
  EXPECT_EQ(CreateCudaBackend(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CudaBackendOptionsTest, FewerThanNoGraphsAreAnInvalidArgument) {
  CudaBackendOptions options;
  options.max_graphs = -1;
  EXPECT_EQ(CreateCudaBackend(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CudaBackendTest, TheHostHasAsManyThreadsAsItIsTold) {
  CudaBackendOptions options;
  options.num_host_threads = 3;
  const auto backend = CreateCudaBackend(options);
  ASSERT_TRUE(backend.ok());
  EXPECT_EQ((*backend)->host_threads()->num_threads(), 3);
  EXPECT_GE(backend_->host_threads()->num_threads(), 1);
}

TEST_F(CudaBackendTest, KernelsAreLoadedBeforeTheyAreNeededUnlessTheEnvironmentSaysOtherwise) {
  EXPECT_STREQ(std::getenv("CUDA_MODULE_LOADING"), "EAGER");
  setenv("CUDA_MODULE_LOADING", "LAZY", /*overwrite=*/1);
  EXPECT_TRUE(CreateCudaBackend({}).ok());
  EXPECT_STREQ(std::getenv("CUDA_MODULE_LOADING"), "LAZY");
  unsetenv("CUDA_MODULE_LOADING");
}

TEST_F(CudaBackendTest, NamesTellTheDeviceAndTheDtypeThatDecideTheBits) {
  EXPECT_THAT(std::string(backend_->name()), testing::MatchesRegex("cuda-sm_[0-9]+"));
  const auto exact = CreateCudaBackend({DType::kF32, 0});
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ((*exact)->name(), std::string(backend_->name()) + "-f32");
}

TEST_F(CudaBackendTest, BothKindsOfMemoryStartAsZerosAndCopyEitherWay) {
  for (const size_t size :
       {size_t{1}, size_t{4097}, size_t{300001}, size_t{1} << 20, size_t{3000001}}) {
    const auto shared = backend_->AllocateShared(2 * size), own = backend_->Allocate(size);
    ASSERT_TRUE(shared.ok() && own.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(own->bytes()) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(shared->bytes()) % 64, 0u);
    std::memset(shared->bytes(), 7, size);
    backend_->Copy(own->bytes(), shared->bytes(), size);
    ASSERT_TRUE(backend_->Finish().ok());
    EXPECT_EQ(std::count(shared->bytes(), shared->bytes() + size, std::byte{0}),
              static_cast<int64_t>(size));
    for (size_t i = 0; i < size; ++i) shared->bytes()[i] = static_cast<std::byte>(i * 31);
    backend_->Copy(shared->bytes(), own->bytes(), size);
    backend_->Copy(own->bytes(), shared->bytes() + size, size);
    ASSERT_TRUE(backend_->Finish().ok());
    EXPECT_EQ(std::memcmp(shared->bytes(), shared->bytes() + size, size), 0);
  }
}

TEST_F(CudaBackendTest, TheHostIsToldHowMuchOfTheDevicesMemoryIsFree) {
  EXPECT_FALSE(backend_->host_sees_memory());
  const auto before = backend_->FreeBytes();
  ASSERT_TRUE(before.ok() && before->has_value());
  EXPECT_GT(**before, 0);
  const auto own = backend_->Allocate(size_t{64} << 20);
  ASSERT_TRUE(own.ok());
  const auto after = backend_->FreeBytes();
  ASSERT_TRUE(after.ok() && after->has_value());
  EXPECT_LT(**after, **before);
}

TEST_F(CudaBackendTest, NothingIsAnEmptyBuffer) {
  for (const auto& buffer : {backend_->Allocate(0), backend_->AllocateShared(0)}) {
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size(), 0u);
  }
  backend_->Copy(nullptr, nullptr, 0);
  EXPECT_TRUE(backend_->Finish().ok());
}

TEST_F(CudaBackendTest, MemoryThatCannotBeHadIsResourceExhausted) {
  const absl::Status status = backend_->Allocate(size_t{1} << 50).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("1125899906842624 bytes"));
  EXPECT_TRUE(backend_->Finish().ok());  // it is no error of an operation
}

TEST_F(CudaBackendTest, BuffersMayOutliveTheirBackend) {
  auto own = backend_->Allocate(100), shared = backend_->AllocateShared(100);
  ASSERT_TRUE(own.ok() && shared.ok());
  backend_ = nullptr;
  EXPECT_EQ(shared->bytes()[99], std::byte{0});
}

TEST_F(CudaBackendTest, MoreExpertsThanTheKernelsTakeAreAnErrorOfTheOperation) {
  const TestTensor weight = RandomTensor({16, 16}, DType::kBF16, 1);
  const auto expert = backend_->PackExpert(weight.view(), weight.view(), weight.view());
  ASSERT_TRUE(expert.ok());
  const std::vector<const PackedExpert*> experts(129, expert->get());
  const auto memory = backend_->Allocate(4096);
  ASSERT_TRUE(memory.ok());
  backend_->RoutedExperts(
      {experts, memory->bytes(), memory->as<int32_t>() + 256, memory->bytes() + 2048, 1, 2});
  const absl::Status finished = backend_->Finish();
  EXPECT_EQ(finished.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(finished.message()), testing::HasSubstr("more than 128 experts"));
}

// Rows of the host, 512 KiB a call, are copied before the call returns: more than one block of
// staged memory holds, before the first Finish; then again, in what is left.
TEST_F(CudaBackendTest, ManyOperationsAreQueuedBeforeOneFinish) {
  CudaBackendOptions options;
  options.staging_bytes = int64_t{1} << 20;
  auto backend = CreateCudaBackend(options);
  ASSERT_TRUE(backend.ok());
  backend_ = *std::move(backend);
  constexpr int64_t kHidden = 16384, kTopK = 8;
  constexpr int kCalls = 5;
  const auto sums = backend_->AllocateShared(size_t{kCalls} * kHidden * sizeof(float));
  const auto gating = backend_->AllocateShared(kTopK * sizeof(float));
  ASSERT_TRUE(sums.ok() && gating.ok());
  std::fill_n(gating->as<float>(), kTopK, 1.0f);
  std::vector<float> row(kHidden);
  const std::vector<const std::byte*> rows(kTopK, reinterpret_cast<const std::byte*>(row.data()));
  CombineExpertsArgs args;
  args.expert_rows = rows.data();
  args.gating_weights = gating->as<float>();
  args.num_tokens = 1;
  args.top_k = kTopK;
  args.hidden_size = kHidden;
  for (int round = 1; round <= 2; ++round) {
    for (int call = 0; call < kCalls; ++call) {
      std::fill(row.begin(), row.end(), static_cast<float>(call));
      args.residual = sums->as<float>() + call * kHidden;
      backend_->CombineExperts(args);
    }
    ASSERT_TRUE(backend_->Finish().ok());
    for (int64_t i = 0; i < kCalls * kHidden; ++i) {
      ASSERT_EQ(sums->as<float>()[i], static_cast<float>(round * kTopK * (i / kHidden)));
    }
  }
}

}  // namespace
}  // namespace tramontane
