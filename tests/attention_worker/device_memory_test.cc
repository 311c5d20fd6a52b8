// Devices with too little memory, which an emulated one can be made.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "attention_worker/attention_weights.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "expert_worker/hosted_experts.h"
#include "tests/attention_worker/model_under_test.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr size_t kAll = size_t{1} << 32;

class DeviceMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
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

}  // namespace
}  // namespace tramontane
