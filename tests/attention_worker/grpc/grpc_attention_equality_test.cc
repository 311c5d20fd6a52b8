// A real model behind the attention hop gives the bits that it gives in this process.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/grpc/attention_server.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/golden/golden_values.h"

namespace tramontane {
namespace {

// {checkpoint, compute dtype}
class GrpcAttentionEqualityTest : public testing::TestWithParam<std::pair<std::string, DType>> {
 protected:
  void SetUp() override {
    for (ModelUnderTest* model : {&here_, &there_}) {
      auto loaded =
          LoadModel(CheckpointDirectory(GetParam().first), {.compute_dtype = GetParam().second});
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      *model = *std::move(loaded);
    }
    const AttentionIdentity identity = {
        .model_name = GetParam().first,
        .digest = there_.checkpoint->digest(),
        .compute_dtype = GetParam().second == DType::kF32 ? "f32" : "bf16",
        .backend = std::string(there_.backend->name()),
        .config = there_.config(),
        .max_step_tokens = 512};
    server_ = std::make_unique<AttentionServer>(there_.worker.get(), identity);
    GrpcAttentionClientOptions options = OptionsFor(identity);
    options.on_change = changes_.Noting();
    remote_ = std::make_unique<GrpcAttentionClient>(server_->address(), options);
    ASSERT_TRUE(changes_.Await([this] { return remote_->readiness().ok(); }))
        << remote_->readiness();
  }

  std::vector<GenerationSpec> Specs() const {
    const auto cases = ReadGoldenCases(GoldenDirectory(GetParam().first));
    EXPECT_TRUE(cases.ok()) << cases.status();
    std::vector<GenerationSpec> specs;
    for (size_t i = 0; cases.ok() && i < cases->size(); ++i) {
      GenerationSpec spec;
      spec.prompt_token_ids = (*cases)[i].prompt_token_ids;
      spec.max_tokens = 8 + static_cast<int>(i);
      spec.num_top_logprobs = 4;
      if (i % 2 == 1) {
        spec.sampling.temperature = 0.9f;
        spec.sampling.top_p = 0.95f;
        spec.sampling.repetition_penalty = 1.1f;
        spec.sampling.logit_bias = {{7, 1.5f}};
        spec.sampling.seed = 1000 + i;
      }
      specs.push_back(std::move(spec));
    }
    return specs;
  }

  // A greedy generation of `count` tokens, released and added again after every `run_length` of
  // them, as a preemption does; the cached tokens of each admission go to `cached`.
  static std::vector<TokenLogprob> Generate(AttentionClient& client, std::vector<int32_t> token_ids,
                                            int count, int run_length, std::vector<int>& cached) {
    std::vector<TokenLogprob> sampled;
    const int max_total_tokens = static_cast<int>(token_ids.size()) + count;
    for (SequenceId id = 1; static_cast<int>(sampled.size()) < count; ++id) {
      SequenceSpec spec;
      spec.id = id;
      spec.sampling = GreedySampling();
      spec.max_total_tokens = max_total_tokens;
      spec.want_logprobs = true;
      spec.num_top_logprobs = 2;
      spec.token_ids = token_ids;
      spec.max_cached_tokens = static_cast<int>(token_ids.size()) - 1;
      const auto added = client.AddSequence(spec);
      EXPECT_TRUE(added.ok()) << added.status();
      if (!added.ok()) return sampled;
      cached.push_back(*added);
      int position = *added;
      for (int i = 0; i < run_length && static_cast<int>(sampled.size()) < count; ++i) {
        StepRequest request;
        request.chunks.push_back(
            {id, position, {token_ids.begin() + position, token_ids.end()}, {}, true});
        const auto result = client.Step(request);
        EXPECT_TRUE(result.ok()) << result.status();
        if (!result.ok()) return sampled;
        position = static_cast<int>(token_ids.size());
        sampled.push_back(*result->chunks[0].sampled);
        token_ids.push_back(sampled.back().token_id);
      }
      client.ReleaseSequence(id);
    }
    return sampled;
  }

  // Exact: a float is equal to itself only.
  static void ExpectSame(const std::vector<TokenLogprob>& actual,
                         const std::vector<TokenLogprob>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(actual[i].token_id, expected[i].token_id);
      EXPECT_EQ(actual[i].logprob, expected[i].logprob);
      EXPECT_EQ(actual[i].top, expected[i].top);
    }
  }

  ModelUnderTest here_, there_;
  std::unique_ptr<AttentionServer> server_;
  Changes changes_;
  std::unique_ptr<GrpcAttentionClient> remote_;
};

TEST_P(GrpcAttentionEqualityTest, MixedStepsGiveTheSameBits) {
  const std::vector<GenerationSpec> specs = Specs();
  const Schedule schedule = {.chunk_tokens = 7, .join_every_steps = 2, .max_step_tokens = 64};
  const auto expected = RunGenerations(*here_.worker, specs, schedule);
  const auto actual = RunGenerations(*remote_, specs, schedule);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(actual.ok()) << actual.status();
  for (size_t i = 0; i < specs.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ((*actual)[i].token_ids, (*expected)[i].token_ids);
    ExpectSame((*actual)[i].logprobs, (*expected)[i].logprobs);
    ExpectSame((*actual)[i].prompt_logprobs, (*expected)[i].prompt_logprobs);
    EXPECT_EQ((*actual)[i].routing.expert_ids, (*expected)[i].routing.expert_ids);
    EXPECT_EQ((*actual)[i].routing.gating_weights, (*expected)[i].routing.gating_weights);
  }
}

TEST_P(GrpcAttentionEqualityTest, PrefixHitsAndRecomputeGiveTheSameBits) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < 40; ++i) prompt.push_back(3 + i * 7 % 200);
  std::vector<int> unbroken, here, there;
  const std::vector<TokenLogprob> expected = Generate(*here_.worker, prompt, 24, 24, unbroken);
  ExpectSame(Generate(*remote_, prompt, 24, 5, there), expected);
  ExpectSame(Generate(*here_.worker, prompt, 24, 5, here), expected);
  ASSERT_EQ(there.size(), here.size());
  EXPECT_EQ(there[0], 0);
  EXPECT_EQ(there[1], 32) << "the whole blocks of the prompt";
  EXPECT_EQ(remote_->kv_cache_usage().num_free_blocks,
            here_.worker->kv_cache_usage().num_free_blocks);
}

INSTANTIATE_TEST_SUITE_P(Models, GrpcAttentionEqualityTest,
                         testing::Values(std::pair(std::string("tiny_f32"), DType::kF32),
                                         std::pair(std::string("tiny_bf16_sharded"), DType::kBF16)),
                         [](const auto& test) { return test.param.first; });

}  // namespace
}  // namespace tramontane
