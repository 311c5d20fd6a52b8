// A whole model on a CUDA device, or on an emulated one, whose memory the host cannot touch: the
// golden tokens, and the same bits however the work is cut.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/golden_layers.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/golden/golden_values.h"

namespace tramontane {
namespace {

// {checkpoint, local experts}
class DeviceTest : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
    if (!CreateCudaBackend({}).ok()) GTEST_SKIP() << "no CUDA device: skipped";
    auto cases = ReadGoldenCases(GoldenDirectory(Checkpoint()));
    ASSERT_TRUE(cases.ok()) << cases.status();
    cases_ = *std::move(cases);
  }

  static std::string Checkpoint() { return std::get<0>(GetParam()); }

  static ModelOptions Options(DType compute_dtype) {
    return {.backend = "cuda",
            .compute_dtype = compute_dtype,
            .attention = {.kv_cache_tokens = 2048, .max_step_tokens = 160},
            .local_experts = std::get<1>(GetParam())};
  }

  static ModelUnderTest Load(const ModelOptions& options) {
    auto model = LoadModel(CheckpointDirectory(Checkpoint()), options);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : ModelUnderTest();
  }

  static std::vector<Generation> Run(const ModelOptions& options,
                                     const std::vector<GenerationSpec>& specs,
                                     Schedule schedule = {}) {
    const ModelUnderTest model = Load(options);
    if (model.worker == nullptr) return {};
    schedule.max_step_tokens = options.attention.max_step_tokens;
    auto generations = RunGenerations(*model.worker, specs, schedule);
    EXPECT_TRUE(generations.ok()) << generations.status();
    return generations.ok() ? *std::move(generations) : std::vector<Generation>();
  }

  std::vector<GoldenCase> cases_;
};

TEST_P(DeviceTest, EveryLayerIsWithinToleranceInFloat32) {
  const ModelUnderTest model = Load(Options(DType::kF32));
  ASSERT_NE(model.worker, nullptr);
  for (size_t i = 0; i < 2; ++i) {
    SCOPED_TRACE(i);
    ExpectGoldenLayers(model, cases_[i]);
    ExpectGoldenRouting(model, cases_[i]);
  }
}

TEST_P(DeviceTest, GreedyTokensAreEqualInFloat32) {
  std::vector<GenerationSpec> specs;
  for (size_t i = 0; i < cases_.size(); ++i) {
    specs.push_back({.prompt_token_ids = cases_[i].prompt_token_ids,
                     .max_tokens = static_cast<int>(cases_[i].greedy_token_ids.size()),
                     .want_routing = i % 2 == 0});
  }
  // With log-probabilities the host chooses from the logits, without them the device does.
  for (const bool want_logprobs : {true, false}) {
    for (GenerationSpec& spec : specs) spec.want_logprobs = want_logprobs;
    const auto generations = Run(Options(DType::kF32), specs, {.join_every_steps = 1});
    ASSERT_EQ(generations.size(), specs.size());
    for (size_t i = 0; i < cases_.size(); ++i) {
      EXPECT_EQ(generations[i].token_ids, cases_[i].greedy_token_ids) << "case " << i;
    }
  }
}

// On the device without log-probabilities, on the host with them, and in a batch with such that ask
// for them: the same tokens.
TEST_P(DeviceTest, SampledTokensAreEqualWhereverTheyAreDrawn) {
  std::vector<GenerationSpec> specs;
  SamplingParams sampling[4];
  sampling[0].seed = 1;
  sampling[1].temperature = 0.7f;
  sampling[1].top_k = 20;
  sampling[1].seed = 2;
  sampling[2].temperature = 1.3f;
  sampling[2].top_p = 0.8f;
  sampling[2].min_p = 0.01f;
  sampling[3] = GreedySampling();
  for (size_t i = 0; i < 4; ++i) {
    specs.push_back({.prompt_token_ids = cases_[i % cases_.size()].prompt_token_ids,
                     .max_tokens = 6,
                     .sampling = sampling[i],
                     .want_routing = false,
                     .want_logprobs = false});
  }
  const ModelOptions options = Options(DType::kBF16);
  const auto drawn_on_device = Run(options, specs);
  ASSERT_EQ(drawn_on_device.size(), specs.size());
  for (const size_t asking : {size_t{1}, specs.size()}) {
    for (size_t i = 0; i < asking; ++i) specs[i].want_logprobs = true;
    const auto drawn = Run(options, specs, {.join_every_steps = 1});
    ASSERT_EQ(drawn.size(), specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      EXPECT_EQ(drawn[i].token_ids, drawn_on_device[i].token_ids) << i << ", " << asking;
    }
  }
}

TEST_P(DeviceTest, BitsDoNotDependOnHowTheWorkIsCut) {
  std::vector<GenerationSpec> specs;
  for (size_t i = 0; i < 3; ++i) {
    specs.push_back({.prompt_token_ids = cases_[i].prompt_token_ids,
                     .max_tokens = 4,
                     .want_routing = false,
                     .num_top_logprobs = 2});
  }
  const ModelOptions options = Options(DType::kBF16);
  std::vector<Generation> alone;
  for (const GenerationSpec& spec : specs) {
    for (Generation& one : Run(options, {spec})) alone.push_back(std::move(one));
  }
  ASSERT_EQ(alone.size(), specs.size());
  ModelOptions other = options;  // experts on the other side
  other.local_experts = !options.local_experts;
  other.cuda_graphs = true;
  other.attention.ping_pong_min_rows = 2;
  other.attention.kv_block_size = 48;
  other.placement = [](const MixtralConfig& config) { return EvenPlacement(config, 2); };
  const std::pair<ModelOptions, Schedule> ways[] = {
      {options, {.chunk_tokens = 7, .join_every_steps = 1}}, {other, {.chunk_tokens = 11}}};
  for (const auto& [way, schedule] : ways) {
    const auto together = Run(way, specs, schedule);
    ASSERT_EQ(together.size(), specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_EQ(together[i].token_ids, alone[i].token_ids);
      for (size_t t = 0; t < alone[i].logprobs.size(); ++t) {
        EXPECT_EQ(together[i].logprobs[t].logprob, alone[i].logprobs[t].logprob);
        EXPECT_EQ(together[i].logprobs[t].top, alone[i].logprobs[t].top);
      }
    }
  }
}

std::string ParamName(const ::testing::TestParamInfo<DeviceTest::ParamType>& param) {
  return std::get<0>(param.param) + (std::get<1>(param.param) ? "_local" : "_dispatched");
}

INSTANTIATE_TEST_SUITE_P(, DeviceTest,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_bf16_sharded",
                                                              "tiny_f16_window_tied"),
                                            ::testing::Bool()),
                         ParamName);

}  // namespace
}  // namespace tramontane
