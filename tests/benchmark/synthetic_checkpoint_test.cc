#include "tests/benchmark/synthetic_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "model/checkpoint.h"

namespace tramontane {
namespace {

MixtralConfig SmallConfig() {
  MixtralConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 128;
  config.num_experts = 4;
  config.top_k = 2;
  config.max_position_embeddings = 256;
  return config;
}

class SyntheticCheckpointTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(root_); }

  // An empty directory's path; removed after the test.
  std::string Directory(const std::string& name) const { return (root_ / name).string(); }

  static std::filesystem::path MakeRoot() {
    std::string pattern = testing::TempDir() + "synthetic_checkpoint.XXXXXX";
    return mkdtemp(pattern.data());
  }

  const std::filesystem::path root_ = MakeRoot();
};

TEST_F(SyntheticCheckpointTest, OpensAsAMixtralOfTheSizesAskedFor) {
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("a"), 2).ok());
  const auto checkpoint = Checkpoint::Open(Directory("a"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->config().num_layers, 2);
  EXPECT_EQ((*checkpoint)->config().num_experts, 4);
  EXPECT_EQ((*checkpoint)->Expert(1, 3).w2.shape, (std::vector<int64_t>{64, 96}));
}

TEST_F(SyntheticCheckpointTest, DrawsAMatrixFromANormalDistributionOfVarianceOneOverItsColumns) {
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("a"), 2).ok());
  const auto checkpoint = Checkpoint::Open(Directory("a"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const TensorView embedding = (*checkpoint)->Embedding();
  const int64_t count = embedding.num_elements();
  double sum = 0;
  double sum_of_squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double value = ElementAsFloat(embedding, i);
    sum += value;
    sum_of_squares += value * value;
  }
  // Five standard errors of a sample of 128 x 64 numbers.
  const double variance = 1.0 / 64;
  EXPECT_NEAR(sum / count, 0, 5 * std::sqrt(variance / count));
  EXPECT_NEAR(sum_of_squares / count, variance, 5 * variance * std::sqrt(2.0 / count));
}

TEST_F(SyntheticCheckpointTest, IsTheSameForOneSeedAndAnyNumberOfThreads) {
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("a"), 1).ok());
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("b"), 3).ok());
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 8, Directory("c"), 1).ok());
  const auto a = Checkpoint::Open(Directory("a"));
  const auto b = Checkpoint::Open(Directory("b"));
  const auto c = Checkpoint::Open(Directory("c"));
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  const TensorView gate_a = (*a)->Attention(1).gate;
  const TensorView gate_b = (*b)->Attention(1).gate;
  const TensorView gate_c = (*c)->Attention(1).gate;
  EXPECT_EQ(std::memcmp(gate_a.bytes, gate_b.bytes, gate_a.num_bytes()), 0);
  EXPECT_NE(std::memcmp(gate_a.bytes, gate_c.bytes, gate_a.num_bytes()), 0);
}

TEST_F(SyntheticCheckpointTest, RefusesADirectoryThatHoldsACheckpoint) {
  ASSERT_TRUE(WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("a"), 1).ok());
  const absl::Status status = WriteSyntheticCheckpoint(SmallConfig(), 7, Directory("a"), 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("config.json"));
}

TEST_F(SyntheticCheckpointTest, RefusesSizesThatAreNotAMixtrals) {
  MixtralConfig config = SmallConfig();
  config.top_k = 5;
  EXPECT_EQ(WriteSyntheticCheckpoint(config, 7, Directory("a"), 1).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tramontane
