#include "kernels/backend.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "tests/kernels/attention_case.h"
#include "tests/kernels/kernels_case.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {
namespace {

TEST(BackendTest, AnUnknownInstructionSetIsAnInvalidArgument) {
  CpuBackendOptions options;
  options.isa = "sse9";
  EXPECT_EQ(CreateCpuBackend(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, AnF16ComputeDtypeIsAnInvalidArgument) {
  CpuBackendOptions options;
  options.compute_dtype = DType::kF16;
  EXPECT_EQ(CreateCpuBackend(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, ANegativeNumberOfThreadsIsAnInvalidArgument) {
  CpuBackendOptions options;
  options.num_threads = -1;
  EXPECT_EQ(CreateCpuBackend(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BackendTest, AnInstructionSetIsServedExactlyWhereTheMachineHasIt) {
  for (const char* isa : {"avx512_bf16", "avx512", "avx2", "portable"}) {
    CpuBackendOptions options;
    options.isa = isa;
    const auto backend = CreateCpuBackend(options);
    EXPECT_EQ(backend.status().code(), cpu::FindKernels(isa) == nullptr
                                           ? absl::StatusCode::kFailedPrecondition
                                           : absl::StatusCode::kOk);
    if (backend.ok()) {
      EXPECT_EQ((*backend)->name(), std::string("cpu-") + isa);
    }
  }
}

TEST(BackendTest, NamesTellTheDtypeThatDecidesTheBits) {
  EXPECT_EQ(CreateReferenceBackend(DType::kF32)->name(), "reference-f32");
  EXPECT_EQ(CreateReferenceBackend(DType::kBF16)->name(), "reference-bf16");
  EXPECT_EQ(MakeKernels({"portable", DType::kF32})->name(), "cpu-portable-f32");
}

TEST(BackendTest, BuffersAreZeroAndAligned) {
  const auto backend = CreateReferenceBackend(DType::kF32);
  for (const size_t size : {size_t{1}, size_t{4097}, (size_t{5} << 20) + 3}) {
    const auto buffer = backend->Allocate(size);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->bytes()) % 64, 0u);
    size_t num_set = 0;
    for (size_t i = 0; i < size; ++i) num_set += buffer->bytes()[i] != std::byte{0};
    EXPECT_EQ(num_set, 0u);
  }
}

TEST(BackendTest, AnEmptyBufferHasNoBytes) {
  const auto buffer = Buffer::Allocate(0);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size(), 0u);
  EXPECT_EQ(buffer->bytes(), nullptr);
}

TEST(BackendTest, MemoryThatCannotBeHadIsResourceExhausted) {
  for (const size_t size : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 60}) {
    EXPECT_EQ(Buffer::Allocate(size).status().code(), absl::StatusCode::kResourceExhausted);
  }
}

TEST(BackendTest, MemoryOfTheHostIsSharedAndCopiedAtOnce) {
  const auto backend = CreateReferenceBackend(DType::kF32);
  const auto from = backend->AllocateShared(100), to = backend->Allocate(100);
  ASSERT_TRUE(from.ok() && to.ok());
  for (size_t i = 0; i < 100; ++i) from->bytes()[i] = static_cast<std::byte>(i);
  backend->Copy(from->bytes(), to->bytes() + 1, 99);
  backend->Copy(nullptr, nullptr, 0);
  EXPECT_TRUE(backend->Finish().ok());
  EXPECT_EQ(to->bytes()[0], std::byte{0});
  for (size_t i = 1; i < 100; ++i) EXPECT_EQ(to->bytes()[i], static_cast<std::byte>(i - 1));
}

TEST(BackendTest, ABufferIsReleasedOnceByItsOwnersFunction) {
  static int num_released = 0;
  static std::byte bytes[8];
  num_released = 0;
  {
    Buffer buffer(bytes, sizeof(bytes), [](std::byte* begin, size_t size) {
      num_released += begin == bytes && size == sizeof(bytes);
    });
    Buffer moved = std::move(buffer);
    EXPECT_EQ(moved.bytes(), bytes);
    EXPECT_EQ(num_released, 0);
  }
  EXPECT_EQ(num_released, 1);
}

TEST(BackendTest, AnEmbeddingOnTheCpuIsReadInPlace) {
  const auto backend = CreateReferenceBackend(DType::kF32);
  const TestTensor embedding = RandomTensor({3, 4}, DType::kBF16, 1);
  const auto table = backend->PlaceEmbedding(embedding.view());
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->view.bytes, embedding.bytes.data());
  EXPECT_EQ(table->memory.size(), 0u);
}

std::vector<float> AttentionOf(const KernelsCase& kernels_case) {
  AttentionShape shape;
  shape.window = 40;
  return AttentionCase(shape, {90}).Run(MakeKernels(kernels_case).get(), {{0, 0, 90}});
}

std::vector<float> ExpertOf(const KernelsCase& kernels_case) {
  const auto backend = MakeKernels(kernels_case);
  const TestTensor w1 = RandomTensor({100, 60}, DType::kF32, 1),
                   w3 = RandomTensor({100, 60}, DType::kF32, 2),
                   w2 = RandomTensor({60, 100}, DType::kF32, 3);
  const auto expert = backend->PackExpert(w1.view(), w3.view(), w2.view());
  EXPECT_TRUE(expert.ok());
  const TestTensor input = RandomTensor({1, 60}, kernels_case.compute_dtype, 4);
  TestTensor output = PoisonedTensor({1, 60}, kernels_case.compute_dtype);
  const std::byte* row = input.row(0);
  const ExpertRows group{expert->get(), {&row, 1}, output.bytes.data()};
  backend->ExpertFfn({{&group, 1}});
  return output.floats();
}

// Both fuse products and sums alike and add in the same order.
TEST(BackendTest, Avx2AndAvx512GiveTheSameBits) {
  if (cpu::FindKernels("avx512") == nullptr) {
    GTEST_SKIP() << "this machine has no AVX-512 to compare with";
  }
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    EXPECT_TRUE(SameBits(AttentionOf({"avx2", dtype}), AttentionOf({"avx512", dtype})));
    EXPECT_TRUE(SameBits(ExpertOf({"avx2", dtype}), ExpertOf({"avx512", dtype})));
  }
}

}  // namespace
}  // namespace tramontane
