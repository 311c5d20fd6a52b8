#include "attention_worker/attention_weights.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "model/checkpoint.h"

namespace tramontane {
namespace {

// The bytes that the loaded weights hold.
int64_t HeldBytes(const AttentionWeights& weights) {
  size_t bytes = weights.final_norm.size() + weights.lm_head->num_bytes();
  for (const LayerWeights& layer : weights.layers) {
    bytes += layer.input_norm.size() + layer.qkv->num_bytes() + layer.output->num_bytes() +
             layer.post_attention_norm.size() + layer.gate->num_bytes();
  }
  return static_cast<int64_t>(bytes);
}

TEST(AttentionWeightsTest, SizesAloneSayWhatIsPacked) {
  const std::string root = TRAMONTANE_SOURCE_DIR;
  for (const char* model : {"/deploy/demo_model", "/tests/golden/tiny_bf16_sharded",
                            "/tests/golden/tiny_f16_window_tied", "/tests/golden/tiny_f32"}) {
    const auto checkpoint = Checkpoint::Open(root + model);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      const auto backend = CreateCpuBackend({.compute_dtype = dtype, .num_threads = 1, .isa = ""});
      ASSERT_TRUE(backend.ok()) << backend.status();
      const auto weights = AttentionWeights::Load(**checkpoint, backend->get());
      ASSERT_TRUE(weights.ok()) << weights.status();
      EXPECT_EQ(HeldBytes(*weights), AttentionWeights::PackedBytes((*checkpoint)->config(), dtype))
          << model << " " << DTypeName(dtype);
    }
  }
}

}  // namespace
}  // namespace tramontane
