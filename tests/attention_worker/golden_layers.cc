#include "tests/attention_worker/golden_layers.h"

#include <gtest/gtest.h>

#include "tests/attention_worker/traced_prefill.h"

namespace tramontane {

void ExpectGoldenLayers(const ModelUnderTest& model, const GoldenCase& golden) {
  const MixtralConfig& config = model.config();
  const auto traced = TracePrefill(*model.worker, config.vocab_size, golden.prompt_token_ids);
  ASSERT_TRUE(traced.ok()) << traced.status();
  EXPECT_LE(LargestRowError(traced->layer_output, golden.layer_output, config.hidden_size),
            kGoldenF32Tolerance);
  EXPECT_LE(LargestRowError(traced->moe_output, golden.moe_output, config.hidden_size),
            kGoldenF32Tolerance);
  EXPECT_LE(LargestRowError(traced->router_logits, golden.router_logits, config.num_experts),
            kGoldenF32Tolerance);
  EXPECT_LE(LargestRowError(traced->router_weights, golden.router_weights, config.top_k),
            kGoldenF32Tolerance);
}

void ExpectGoldenRouting(const ModelUnderTest& model, const GoldenCase& golden) {
  const auto traced =
      TracePrefill(*model.worker, model.config().vocab_size, golden.prompt_token_ids);
  ASSERT_TRUE(traced.ok()) << traced.status();
  EXPECT_EQ(traced->router_experts, golden.router_experts);
}

}  // namespace tramontane
