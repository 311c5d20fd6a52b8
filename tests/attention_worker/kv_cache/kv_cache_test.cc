#include "attention_worker/kv_cache/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "attention_worker/kv_cache/available_memory.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

MixtralConfig SmallConfig() {
  MixtralConfig config;
  config.num_layers = 3;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 100;
  return config;
}

class KvCacheTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<KvCache>> Create(const KvCacheOptions& options) {
    return KvCache::Create(SmallConfig(), options, backend_.get());
  }

  const std::unique_ptr<Backend> backend_ = CreateReferenceBackend(DType::kBF16);
};

TEST_F(KvCacheTest, CapacityIsRoundedUpToWholeBlocks) {
  const auto cache = Create({.block_size = 16, .capacity_tokens = 33});
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ((*cache)->pool().num_blocks(), 3);
}

TEST_F(KvCacheTest, DefaultCapacityIsEightContexts) {
  const auto cache = Create({.block_size = 16});
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ((*cache)->pool().num_blocks(), 800 / 16);
}

TEST_F(KvCacheTest, DefaultCapacityLeavesHalfOfTheMemory) {
  const int64_t bytes_per_token = KvBytesPerToken(SmallConfig(), DType::kBF16);
  EXPECT_EQ(bytes_per_token, 2 * 3 * 2 * 8 * 2);  // keys and values, layers, heads, dims, bytes
  EXPECT_EQ(DefaultKvCapacity(SmallConfig(), DType::kBF16, 200 * bytes_per_token), 100);
}

TEST_F(KvCacheTest, LayersLieApartAndHoldEveryBlock) {
  const auto cache = Create({.dtype = DType::kF32, .block_size = 32, .capacity_tokens = 64});
  ASSERT_TRUE(cache.ok()) << cache.status();
  const size_t layer_bytes = 64 * 2 * 8 * 4;
  for (int layer = 0; layer < 3; ++layer) {
    const KvLayer kv = (*cache)->Layer(layer);
    EXPECT_EQ(kv.block_size, 32);
    EXPECT_EQ(kv.num_kv_heads, 2);
    EXPECT_EQ(kv.head_dim, 8);
    EXPECT_EQ(kv.dtype, DType::kF32);
    kv.keys[layer_bytes - 1] = std::byte{1};  // the sanitizers see a write past the end
    kv.values[layer_bytes - 1] = std::byte{2};
    EXPECT_EQ(kv.keys[layer_bytes - 1], std::byte{1});
    if (layer > 0) {
      EXPECT_NE(kv.keys, (*cache)->Layer(layer - 1).keys);
    }
  }
}

TEST_F(KvCacheTest, RefusesABlockSizeThatIsNoMultipleOfTheTile) {
  for (const int block_size : {0, -16, 8, 24}) {
    const auto cache = Create({.block_size = block_size, .capacity_tokens = 64});
    EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(cache.status().message()), HasSubstr("multiple of 16"));
  }
}

TEST_F(KvCacheTest, RefusesACapacityThatMemoryCannotHold) {
  for (const int64_t tokens : {int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    const auto cache = Create({.capacity_tokens = tokens});
    EXPECT_EQ(cache.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(cache.status().message()), HasSubstr("are available"));
  }
}

TEST_F(KvCacheTest, RefusesANegativeCapacity) {
  EXPECT_EQ(Create({.capacity_tokens = -1}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(AvailableMemoryTest, ReadsTheLineOfTheKey) {
  const std::string meminfo = "MemTotal:  100 kB\nMemFree: 7 kB\nMemAvailable:   42 kB\n";
  EXPECT_EQ(NumberAfter("MemAvailable:", meminfo), 42);
  EXPECT_EQ(NumberAfter("Available:", meminfo), std::nullopt);
  EXPECT_EQ(NumberAfter("active_file", "inactive_file 3\nactive_file 4\n"), 4);
  EXPECT_EQ(NumberAfter("active_file", "active_file x\n"), std::nullopt);
}

TEST(AvailableMemoryTest, ThisMachineHasSome) { EXPECT_GT(AvailableMemoryBytes(), 0); }

}  // namespace
}  // namespace tramontane
