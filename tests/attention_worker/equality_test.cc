// The same bits, however the work is cut: tokens, log-probabilities and routing.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/golden/golden_values.h"

namespace tramontane {

// Exact: a float is equal to itself only (the values are finite).
bool operator==(const TokenLogprob& a, const TokenLogprob& b) {
  return a.token_id == b.token_id && a.logprob == b.logprob && a.top == b.top;
}

namespace {

// {checkpoint, backend, compute dtype}
class EqualityTest : public ::testing::TestWithParam<std::tuple<std::string, std::string, DType>> {
 protected:
  void SetUp() override {
    const auto cases = ReadGoldenCases(GoldenDirectory(std::get<0>(GetParam())));
    ASSERT_TRUE(cases.ok()) << cases.status();
    for (size_t i = 0; i < cases->size(); ++i) {
      GenerationSpec spec;
      spec.prompt_token_ids = (*cases)[i].prompt_token_ids;
      spec.max_tokens = 12 + static_cast<int>(i);  // they end at different steps
      spec.num_top_logprobs = 4;
      if (i % 2 == 1) {
        spec.sampling.temperature = 0.9f;
        spec.sampling.top_p = 0.95f;
        spec.sampling.repetition_penalty = 1.1f;
        spec.sampling.seed = 1000 + i;
      }
      specs_.push_back(std::move(spec));
    }
    expected_ = RunAlone();
  }

  ModelOptions Options() const {
    const auto& [name, backend, compute_dtype] = GetParam();
    return {.backend = backend, .compute_dtype = compute_dtype};
  }

  std::vector<Generation> Run(const ModelOptions& options, const std::vector<GenerationSpec>& specs,
                              const Schedule& schedule) const {
    const auto model = LoadModel(CheckpointDirectory(std::get<0>(GetParam())), options);
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return {};
    auto generations = RunGenerations(*model->worker, specs, schedule);
    EXPECT_TRUE(generations.ok()) << generations.status();
    return generations.ok() ? *std::move(generations) : std::vector<Generation>{};
  }

  // Each by itself, its prompt in one piece: batch 1.
  std::vector<Generation> RunAlone() const {
    std::vector<Generation> alone;
    for (const GenerationSpec& spec : specs_) {
      for (Generation& one : Run(Options(), {spec}, {})) alone.push_back(std::move(one));
    }
    return alone;
  }

  void ExpectSameBits(const std::vector<Generation>& actual) const {
    ASSERT_EQ(actual.size(), specs_.size());
    ASSERT_EQ(expected_.size(), specs_.size());
    for (size_t i = 0; i < specs_.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_EQ(actual[i].token_ids.size(), static_cast<size_t>(specs_[i].max_tokens));
      EXPECT_EQ(actual[i].token_ids, expected_[i].token_ids);
      EXPECT_TRUE(actual[i].logprobs == expected_[i].logprobs);
      EXPECT_TRUE(actual[i].prompt_logprobs == expected_[i].prompt_logprobs);
      EXPECT_EQ(actual[i].routing.expert_ids, expected_[i].routing.expert_ids);
      EXPECT_EQ(actual[i].routing.gating_weights, expected_[i].routing.gating_weights);
    }
  }

  std::vector<GenerationSpec> specs_;
  std::vector<Generation> expected_;
};

TEST_P(EqualityTest, AllInOneBatch) { ExpectSameBits(Run(Options(), specs_, {})); }

TEST_P(EqualityTest, PrefillAndDecodeRowsMixed) {
  ExpectSameBits(Run(Options(), specs_, {.chunk_tokens = 9, .join_every_steps = 2}));
}

TEST_P(EqualityTest, PromptsCutIntoChunks) {
  for (const int chunk_tokens : {1, 5, 16, 33}) {
    SCOPED_TRACE(chunk_tokens);
    ExpectSameBits(Run(Options(), specs_, {.chunk_tokens = chunk_tokens}));
  }
}

TEST_P(EqualityTest, KvBlocksOfOtherSizes) {
  for (const int block_size : {32, 48, 256}) {
    SCOPED_TRACE(block_size);
    ModelOptions options = Options();
    options.attention.kv_block_size = block_size;
    ExpectSameBits(Run(options, specs_, {.chunk_tokens = 20, .join_every_steps = 1}));
  }
}

TEST_P(EqualityTest, OneTwoFourAndEightExpertWorkers) {
  for (const int num_workers : {1, 2, 4, 8}) {
    SCOPED_TRACE(num_workers);
    ModelOptions options = Options();
    options.placement = [num_workers](const MixtralConfig& config) {
      return EvenPlacement(config, num_workers);
    };
    ExpectSameBits(Run(options, specs_, {.join_every_steps = 1}));
  }
}

// Steps as two micro-batches, which cut chunks in between; the routing is left out, since it is
// recorded from whole steps.
TEST_P(EqualityTest, PingPong) {
  ModelOptions options = Options();
  options.attention.ping_pong_min_rows = 2;
  options.placement = [](const MixtralConfig& config) { return EvenPlacement(config, 2); };
  for (GenerationSpec& spec : specs_) spec.want_routing = false;
  for (Generation& expected : expected_) expected.routing = {};
  ExpectSameBits(Run(options, specs_, {}));
  ExpectSameBits(Run(options, specs_, {.chunk_tokens = 9, .join_every_steps = 2}));
}

TEST_P(EqualityTest, ExpertsOnTheBackendOfAttention) {
  ModelOptions options = Options();
  options.local_experts = true;
  ExpectSameBits(Run(options, specs_, {.chunk_tokens = 9, .join_every_steps = 2}));
  for (GenerationSpec& spec : specs_) spec.want_routing = false;  // all layers at once
  for (Generation& expected : expected_) expected.routing = {};
  ExpectSameBits(Run(options, specs_, {.chunk_tokens = 9, .join_every_steps = 2}));
}

// Experts scattered differently in every layer, each on two of three workers.
TEST_P(EqualityTest, ReplicatedExpertsInAnyPlace) {
  ModelOptions options = Options();
  options.placement = [](const MixtralConfig& config) {
    Placement placement(3);
    for (int layer = 0; layer < config.num_layers; ++layer) {
      for (int expert = 0; expert < config.num_experts; ++expert) {
        const int first = (layer + 2 * expert) % 3;
        placement[first].push_back({layer, expert});
        placement[(first + 1) % 3].push_back({layer, expert});
      }
    }
    return placement;
  };
  ExpectSameBits(Run(options, specs_, {.join_every_steps = 1}));
}

TEST_P(EqualityTest, BatchesCutAtTheWorkersLimit) {
  ModelOptions options = Options();
  options.max_batch_rows = 3;
  options.placement = [](const MixtralConfig& config) { return EvenPlacement(config, 2); };
  ExpectSameBits(Run(options, specs_, {}));
}

std::string ParamName(const ::testing::TestParamInfo<EqualityTest::ParamType>& param) {
  const auto& [name, backend, compute_dtype] = param.param;
  return name + "_" + backend + "_" + std::string(DTypeName(compute_dtype));
}

INSTANTIATE_TEST_SUITE_P(Cpu, EqualityTest,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_bf16_sharded",
                                                              "tiny_f16_window_tied", "demo"),
                                            ::testing::Values("cpu"),
                                            ::testing::Values(DType::kBF16, DType::kF32)),
                         ParamName);

INSTANTIATE_TEST_SUITE_P(Reference, EqualityTest,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_f16_window_tied"),
                                            ::testing::Values("reference"),
                                            ::testing::Values(DType::kBF16)),
                         ParamName);

}  // namespace
}  // namespace tramontane
