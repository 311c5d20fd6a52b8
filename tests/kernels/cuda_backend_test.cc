#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/backend.h"
#include "kernels/embed_tokens.h"
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

TEST_F(CudaBackendTest, NamesTellTheDeviceAndTheDtypeThatDecideTheBits) {
  EXPECT_THAT(std::string(backend_->name()), testing::MatchesRegex("cuda-sm_[0-9]+"));
  const auto exact = CreateCudaBackend({DType::kF32, 0});
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ((*exact)->name(), std::string(backend_->name()) + "-f32");
}

TEST_F(CudaBackendTest, BothKindsOfMemoryStartAsZerosAndCopyEitherWay) {
  for (const size_t size : {size_t{1}, size_t{4097}, size_t{300001}}) {
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

// More staged memory than one block holds, before the first Finish.
TEST_F(CudaBackendTest, ManyOperationsAreQueuedBeforeOneFinish) {
  const TestTensor embedding = RandomTensor({50, 8}, DType::kF32, 1);
  const auto table = backend_->PlaceEmbedding(embedding.view());
  ASSERT_TRUE(table.ok());
  constexpr int kTokens = 20000, kCalls = 20;
  const auto output = backend_->AllocateShared(size_t{kCalls} * 8 * sizeof(float));
  const auto unused = backend_->Allocate(size_t{kTokens} * 8 * sizeof(float));
  ASSERT_TRUE(output.ok() && unused.ok());
  for (int call = 0; call < kCalls; ++call) {
    std::vector<int32_t> token_ids(call % 2 == 0 ? 1 : 500, call);
    auto* const hidden_states =
        call % 2 == 0 ? output->as<float>() + call * 8 : unused->as<float>();
    backend_->EmbedTokens(
        {&table->view, token_ids.data(), hidden_states, static_cast<int64_t>(token_ids.size())});
    std::fill(token_ids.begin(), token_ids.end(), -1);  // read before the call returned
  }
  ASSERT_TRUE(backend_->Finish().ok());
  const std::vector<float> expected = embedding.floats();
  for (int call = 0; call < kCalls; call += 2) {
    EXPECT_EQ(std::memcmp(output->as<float>() + call * 8, expected.data() + call * 8, 32), 0);
  }
}

}  // namespace
}  // namespace tramontane
