// The demo model's perplexity over 32 held-out windows, and where its router sends their tokens.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/golden/golden_values.h"

namespace tramontane {
namespace {

class GoldenWindowsTest : public ::testing::Test {
 protected:
  // Scores all windows, several at once and in chunks.
  void Run(DType compute_dtype) {
    auto golden = ReadGoldenWindows(GoldenDirectory("demo"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
    ASSERT_EQ(golden_.windows.size(), 32u);
    auto model = LoadModel(CheckpointDirectory("demo"),
                           {.compute_dtype = compute_dtype,
                            .attention = {.kv_cache_tokens = 32 * 512, .max_step_tokens = 1024}});
    ASSERT_TRUE(model.ok()) << model.status();
    std::vector<GenerationSpec> specs;
    for (const std::vector<int32_t>& window : golden_.windows) {
      specs.push_back({.prompt_token_ids = window});
    }
    const auto scored =
        RunGenerations(*model->worker, specs, {.chunk_tokens = 200, .max_step_tokens = 1024});
    ASSERT_TRUE(scored.ok()) << scored.status();
    double nll = 0.0;
    int64_t scored_tokens = 0;
    for (const Generation& window : *scored) {
      for (const TokenLogprob& token : window.prompt_logprobs) nll -= token.logprob;
      scored_tokens += static_cast<int64_t>(window.prompt_logprobs.size());
    }
    ASSERT_EQ(scored_tokens, golden_.scored_tokens);
    perplexity_ = std::exp(nll / static_cast<double>(scored_tokens));
    expert_tokens_ = model->observer->expert_tokens;
    RecordProperty("perplexity", std::to_string(perplexity_));
  }

  // Pairs that went to another expert than the reference's.
  int64_t ReroutedPairs() const {
    int64_t difference = 0;
    for (size_t layer = 0; layer < golden_.expert_tokens.size(); ++layer) {
      for (size_t expert = 0; expert < golden_.expert_tokens[layer].size(); ++expert) {
        difference +=
            std::abs(expert_tokens_[layer][expert] - golden_.expert_tokens[layer][expert]);
      }
    }
    return difference / 2;  // each is missed in one place and found in another
  }

  GoldenWindows golden_;
  double perplexity_ = 0.0;
  std::vector<std::vector<int64_t>> expert_tokens_;
};

// The project's bar is 0.2%. Float32 on both sides leaves the order of summation: 1e-5. Of 131,072
// routing choices, those that differ are ties within float32's rounding. One test, because the
// windows take a while under a sanitizer.
TEST_F(GoldenWindowsTest, F32PerplexityAndRoutingAreTheReferences) {
  Run(DType::kF32);
  EXPECT_NEAR(perplexity_, golden_.perplexity_f32, 1e-5 * golden_.perplexity_f32);
  ASSERT_EQ(expert_tokens_.size(), golden_.expert_tokens.size());
  EXPECT_LE(ReroutedPairs(), 4);
}

// Within 0.2% of both what the reference gets in float32 and in bfloat16.
TEST_F(GoldenWindowsTest, Bf16PerplexityIsWithinAFifthOfAPercent) {
  Run(DType::kBF16);
  EXPECT_NEAR(perplexity_, golden_.perplexity_f32, 0.002 * golden_.perplexity_f32);
  EXPECT_NEAR(perplexity_, golden_.perplexity_bf16, 0.002 * golden_.perplexity_bf16);
}

}  // namespace
}  // namespace tramontane
