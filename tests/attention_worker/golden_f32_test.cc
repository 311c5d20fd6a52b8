// Float32 mode against Hugging Face Transformers: the exact mode.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/embed_tokens.h"
#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/golden_layers.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/attention_worker/traced_prefill.h"
#include "tests/golden/golden_values.h"

namespace tramontane {
namespace {

// {checkpoint, backend}
class GoldenF32Test : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    const auto& [name, backend] = GetParam();
    auto cases = ReadGoldenCases(GoldenDirectory(name));
    ASSERT_TRUE(cases.ok()) << cases.status();
    cases_ = *std::move(cases);
    ASSERT_GE(cases_.size(), 5u);
    auto model =
        LoadModel(CheckpointDirectory(name), {.backend = backend, .compute_dtype = DType::kF32});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  std::vector<GoldenCase> cases_;
  ModelUnderTest model_;
};

TEST_P(GoldenF32Test, EmbeddingsAreEqual) {
  Backend& backend = *model_.backend;
  const auto table = backend.PlaceEmbedding(model_.checkpoint->Embedding());
  ASSERT_TRUE(table.ok()) << table.status();
  for (const GoldenCase& golden : cases_) {
    const size_t num_bytes = golden.embedding.size() * sizeof(float);
    const auto actual = backend.AllocateShared(num_bytes);
    ASSERT_TRUE(actual.ok()) << actual.status();
    backend.EmbedTokens({.embedding = &table->view,
                         .token_ids = golden.prompt_token_ids.data(),
                         .hidden_states = actual->as<float>(),
                         .num_tokens = static_cast<int64_t>(golden.prompt_token_ids.size())});
    ASSERT_TRUE(backend.Finish().ok());
    const auto* const elements = actual->as<float>();
    EXPECT_EQ(std::vector<float>(elements, elements + golden.embedding.size()),
              golden.embedding);  // a look-up does not round
  }
}

TEST_P(GoldenF32Test, EveryLayerIsWithinTolerance) {
  for (size_t i = 0; i < cases_.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectGoldenLayers(model_, cases_[i]);
  }
}

TEST_P(GoldenF32Test, RouterChoicesAreEqual) {
  for (size_t i = 0; i < cases_.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectGoldenRouting(model_, cases_[i]);
  }
}

// A worker states log-probabilities, not logits: what is compared is the logits up to the constant
// of a row that no softmax sees.
TEST_P(GoldenF32Test, LogitsAreWithinTolerance) {
  const int vocab_size = model_.config().vocab_size;
  for (size_t i = 0; i < cases_.size(); ++i) {
    SCOPED_TRACE(i);
    const auto traced = TracePrefill(*model_.worker, vocab_size, cases_[i].prompt_token_ids);
    ASSERT_TRUE(traced.ok()) << traced.status();
    EXPECT_LE(
        LargestRowError(traced->logprobs, LogSoftmax(cases_[i].logits, vocab_size), vocab_size),
        kGoldenF32Tolerance);
  }
}

// The greedy continuation decodes step by step; with the reference's loops on the demo model that
// would be minutes under a sanitizer, so there it is left to the vector kernels.
class GoldenF32GreedyTest : public GoldenF32Test {};

TEST_P(GoldenF32GreedyTest, GreedyTokensAreEqual) {
  std::vector<GenerationSpec> specs;
  for (const GoldenCase& golden : cases_) {
    specs.push_back({.prompt_token_ids = golden.prompt_token_ids,
                     .max_tokens = static_cast<int>(golden.greedy_token_ids.size())});
  }
  const auto generations = RunGenerations(*model_.worker, specs);
  ASSERT_TRUE(generations.ok()) << generations.status();
  for (size_t i = 0; i < cases_.size(); ++i) {
    EXPECT_EQ((*generations)[i].token_ids, cases_[i].greedy_token_ids) << "case " << i;
  }
}

TEST_P(GoldenF32Test, PromptLogprobsAreWithinTolerance) {
  std::vector<GenerationSpec> specs;
  for (const GoldenCase& golden : cases_) {
    specs.push_back({.prompt_token_ids = golden.prompt_token_ids});
  }
  const auto generations = RunGenerations(*model_.worker, specs);
  ASSERT_TRUE(generations.ok()) << generations.status();
  for (size_t i = 0; i < cases_.size(); ++i) {
    SCOPED_TRACE(i);
    const std::vector<TokenLogprob>& logprobs = (*generations)[i].prompt_logprobs;
    ASSERT_EQ(logprobs.size(), cases_[i].prompt_token_ids.size() - 1);
    double nll = 0.0;
    for (size_t t = 0; t < logprobs.size(); ++t) {
      EXPECT_EQ(logprobs[t].token_id, cases_[i].prompt_token_ids[t + 1]);
      nll -= logprobs[t].logprob;
      if (cases_[i].prompt_logprobs.empty()) continue;
      const double expected = cases_[i].prompt_logprobs[t + 1];
      // A log-probability near 0 is a difference of logits of size 10: absolute, on their scale.
      EXPECT_NEAR(logprobs[t].logprob, expected, kGoldenF32Tolerance * std::max(10.0, -expected));
    }
    if (!cases_[i].mean_nll.has_value()) continue;
    EXPECT_NEAR(nll / static_cast<double>(logprobs.size()), *cases_[i].mean_nll,
                kGoldenF32Tolerance * *cases_[i].mean_nll);
  }
}

std::string ParamName(const ::testing::TestParamInfo<GoldenF32Test::ParamType>& param) {
  return std::get<0>(param.param) + "_" + std::get<1>(param.param);
}

INSTANTIATE_TEST_SUITE_P(AllCheckpoints, GoldenF32Test,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_bf16_sharded",
                                                              "tiny_f16_window_tied", "demo"),
                                            ::testing::Values("reference", "cpu")),
                         ParamName);
INSTANTIATE_TEST_SUITE_P(TinyCheckpoints, GoldenF32GreedyTest,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_bf16_sharded",
                                                              "tiny_f16_window_tied"),
                                            ::testing::Values("reference", "cpu")),
                         ParamName);
INSTANTIATE_TEST_SUITE_P(DemoModel, GoldenF32GreedyTest,
                         ::testing::Combine(::testing::Values("demo"), ::testing::Values("cpu")),
                         ParamName);

}  // namespace
}  // namespace tramontane
