// Devices with too little memory, which an emulated one can be made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "attention_worker/attention_weights.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/expert_ffn.h"
#include "tests/attention_worker/model_under_test.h"

// Of tests/kernels/cuda_emulation.
void EmulatedLimitMemory(size_t max_bytes);
int EmulatedNumAllocations();

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr size_t kAll = size_t{1} << 32;

class DeviceMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    EmulatedLimitMemory(kAll);
    auto checkpoint = Checkpoint::Open(GoldenDirectory("tiny_f32"));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *std::move(checkpoint);
    auto backend = CreateCudaBackend({});
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }
  void TearDown() override { EmulatedLimitMemory(kAll); }

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(DeviceMemoryTest, ExpertsThatDoNotFitAreRefusedBeforeTheyAreLoaded) {
  const MixtralConfig& config = checkpoint_->config();
  const auto all = ExpertSet::Parse("all", config.num_layers, config.num_experts);
  ASSERT_TRUE(all.ok());
  EmulatedLimitMemory(1000);
  const absl::Status status = HostedExperts::Load(checkpoint_, *all, backend_.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(" experts, found 1000; "), HasSubstr("--experts")));
}

// Where pinned memory is limited, a first batch that asks for it would be the end of the process.
TEST_F(DeviceMemoryTest, ABatchTakesNoMemoryThatItsExpertsDidNotTakeWhenTheyWereLoaded) {
  const MixtralConfig& config = checkpoint_->config();
  const auto all = ExpertSet::Parse("all", config.num_layers, config.num_experts);
  ASSERT_TRUE(all.ok());
  const auto hosted = HostedExperts::Load(checkpoint_, *all, backend_.get());
  ASSERT_TRUE(hosted.ok()) << hosted.status();
  constexpr size_t kRows = 40;
  const size_t row_bytes =
      static_cast<size_t>(config.hidden_size) * DTypeSize(backend_->compute_dtype());
  const std::vector<std::byte> input(kRows * row_bytes);
  const auto output = backend_->AllocateShared(kRows * row_bytes);
  ASSERT_TRUE(output.ok()) << output.status();
  const int after_load = EmulatedNumAllocations();
  std::vector<const std::byte*> rows;
  for (size_t i = 0; i < kRows; ++i) rows.push_back(input.data() + i * row_bytes);
  const ExpertRows group = {(*hosted)->Find(0, 0), rows, output->bytes()};
  backend_->ExpertFfn({{&group, 1}});
  ASSERT_TRUE(backend_->Finish().ok());
  EXPECT_EQ(EmulatedNumAllocations(), after_load);
}

TEST_F(DeviceMemoryTest, AttentionThatDoesNotFitIsRefusedBeforeItIsLoaded) {
  EmulatedLimitMemory(1000);
  const absl::Status status = AttentionWeights::Load(*checkpoint_, backend_.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("attention's weights, found 1000; "));
}

TEST_F(DeviceMemoryTest, AKvCacheThatDoesNotFitIsRefusedWithBothFigures) {
  const auto cache =
      KvCache::Create(checkpoint_->config(),
                      {.dtype = DType::kBF16, .capacity_tokens = int64_t{1} << 40}, backend_.get());
  EXPECT_EQ(cache.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(cache.status().message()), HasSubstr("bytes of memory are available"));
}

// By what is free, not by what the device says once half of it is there.
TEST_F(DeviceMemoryTest, AKvCacheThatIsABlockTooLargeIsRefusedBeforeAnyOfItIsAllocated) {
  constexpr int64_t kFits = 4;
  const KvCacheOptions too_large = {
      .dtype = DType::kBF16, .block_size = 16, .capacity_tokens = (kFits + 1) * 16};
  const auto free_bytes = backend_->FreeBytes();
  ASSERT_TRUE(free_bytes.ok() && free_bytes->has_value());
  const size_t taken = kAll - static_cast<size_t>(**free_bytes);
  const auto room =
      static_cast<size_t>(kFits * 16 * KvBytesPerToken(checkpoint_->config(), DType::kBF16));
  const int before = EmulatedNumAllocations();
  EmulatedLimitMemory(taken + room);
  const absl::Status refused =
      KvCache::Create(checkpoint_->config(), too_large, backend_.get()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("bytes of memory are available"));
  EXPECT_EQ(EmulatedNumAllocations(), before);
}

}  // namespace
}  // namespace tramontane
