// Checkpoints that Transformers wrote, opened, and their tensors read back.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "model/checkpoint.h"
#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

constexpr char kGolden[] = TRAMONTANE_SOURCE_DIR "/tests/golden/";

std::shared_ptr<const Checkpoint> OpenOrDie(const std::string& directory) {
  auto checkpoint = Checkpoint::Open(directory);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

struct GoldenFolder {
  const char* checkpoint;
  const char* golden;  // the folder of golden.json and golden.safetensors
  DType dtype;
};

class GoldenCheckpointTest : public ::testing::TestWithParam<GoldenFolder> {
 protected:
  void SetUp() override {
    checkpoint_ = OpenOrDie(std::string(TRAMONTANE_SOURCE_DIR "/") + GetParam().checkpoint);
    ASSERT_NE(checkpoint_, nullptr);
  }
  std::shared_ptr<const Checkpoint> checkpoint_;
};

TEST_P(GoldenCheckpointTest, EmbeddingRowsAreTheGoldenOnes) {
  const std::string folder = std::string(kGolden) + GetParam().golden;
  const auto golden = SafetensorsFile::Open(folder + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto cases =
      nlohmann::json::parse(testing::ReadWholeFile(folder + "/golden.json")).at("cases");
  const TensorView embedding = checkpoint_->Embedding();
  const int64_t hidden = checkpoint_->config().hidden_size;
  ASSERT_FALSE(cases.empty());
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto ids = cases[i].at("prompt_token_ids").get<std::vector<int64_t>>();
    const auto expected = (*golden)->Tensor(std::to_string(i) + ".embedding");
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_EQ(expected->num_elements(), static_cast<int64_t>(ids.size()) * hidden);
    for (size_t row = 0; row < ids.size(); ++row) {
      for (int64_t column = 0; column < hidden; ++column) {
        // Widening to float32 is exact, so no tolerance.
        ASSERT_EQ(ElementAsFloat(embedding, ids[row] * hidden + column),
                  ElementAsFloat(*expected, static_cast<int64_t>(row) * hidden + column));
      }
    }
  }
}

TEST_P(GoldenCheckpointTest, EveryTensorHasItsShapeAndDType) {
  using Shape = std::vector<int64_t>;
  const MixtralConfig& config = checkpoint_->config();
  const int64_t hidden = config.hidden_size;
  const int64_t query = int64_t{config.num_heads} * config.head_dim;
  const int64_t key_value = int64_t{config.num_kv_heads} * config.head_dim;
  EXPECT_EQ(checkpoint_->FinalNorm().shape, Shape{hidden});
  EXPECT_EQ(checkpoint_->LmHead().shape, (Shape{config.vocab_size, hidden}));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const AttentionTensors attention = checkpoint_->Attention(layer);
    EXPECT_EQ(attention.input_norm.shape, Shape{hidden});
    EXPECT_EQ(attention.q_proj.shape, (Shape{query, hidden}));
    EXPECT_EQ(attention.k_proj.shape, (Shape{key_value, hidden}));
    EXPECT_EQ(attention.v_proj.shape, (Shape{key_value, hidden}));
    EXPECT_EQ(attention.o_proj.shape, (Shape{hidden, query}));
    EXPECT_EQ(attention.post_attention_norm.shape, Shape{hidden});
    EXPECT_EQ(attention.gate.shape, (Shape{config.num_experts, hidden}));
    for (int expert = 0; expert < config.num_experts; ++expert) {
      const ExpertTensors ffn = checkpoint_->Expert(layer, expert);
      EXPECT_EQ(ffn.w1.shape, (Shape{config.intermediate_size, hidden}));
      EXPECT_EQ(ffn.w3.shape, (Shape{config.intermediate_size, hidden}));
      EXPECT_EQ(ffn.w2.shape, (Shape{hidden, config.intermediate_size}));
      EXPECT_EQ(ffn.w2.dtype, GetParam().dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenCheckpointTest,
                         ::testing::Values(GoldenFolder{"tests/golden/tiny_f32", "tiny_f32",
                                                        DType::kF32},
                                           GoldenFolder{"tests/golden/tiny_bf16_sharded",
                                                        "tiny_bf16_sharded", DType::kBF16},
                                           GoldenFolder{"tests/golden/tiny_f16_window_tied",
                                                        "tiny_f16_window_tied", DType::kF16},
                                           GoldenFolder{"deploy/demo_model", "demo", DType::kBF16}),
                         [](const auto& folder) { return std::string(folder.param.golden); });

TEST(GoldenCheckpointTest, WindowTieAndHeadDimAreRead) {
  const auto checkpoint = OpenOrDie(std::string(kGolden) + "tiny_f16_window_tied");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config().sliding_window, 8);
  EXPECT_EQ(checkpoint->config().head_dim, 24);
  EXPECT_EQ(checkpoint->config().rope_theta, 10000.0);
  EXPECT_EQ(checkpoint->LmHead().bytes, checkpoint->Embedding().bytes);
}

TEST(GoldenCheckpointTest, TheDemoModelHasSamplingDefaults) {
  const auto checkpoint = OpenOrDie(TRAMONTANE_SOURCE_DIR "/deploy/demo_model");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->generation_defaults().temperature, 0.8f);
  EXPECT_EQ(checkpoint->eos_token_ids(), std::vector<int>{2});
}

}  // namespace
}  // namespace tramontane
