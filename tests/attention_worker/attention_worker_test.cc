// The worker's contract: reservations, validation, failures that change nothing, what it reports.
#include "attention_worker/attention_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/model_under_test.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::vector<int32_t> kPrompt = {1, 95, 6, 139, 168};

std::vector<int32_t> LongPrompt(int length) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back(3 + i * 7 % 200);
  return prompt;
}

class AttentionWorkerTest : public ::testing::Test {
 protected:
  // Two workers with half of the experts each; a worker that is gone is not waited for.
  void SetUp() override {
    Load({.attention = {.kv_cache_tokens = 4096,
                        .max_step_tokens = 512,
                        .expert_wait_timeout_ms = 0},
          .placement = TwoWorkers});
  }

  void Load(const ModelOptions& options) {
    auto model = LoadModel(CheckpointDirectory("tiny_f32"), options);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  static Placement TwoWorkers(const MixtralConfig& config) { return EvenPlacement(config, 2); }

  absl::Status Add(SequenceId id, int max_total_tokens) {
    SequenceSpec spec;
    spec.id = id;
    spec.max_total_tokens = max_total_tokens;
    spec.want_logprobs = true;
    spec.sampling = GreedySampling();
    return model_.worker->AddSequence(spec).status();
  }

  static SequenceChunk Chunk(SequenceId id, int first_position, std::vector<int32_t> token_ids) {
    SequenceChunk chunk;
    chunk.id = id;
    chunk.first_position = first_position;
    chunk.token_ids = std::move(token_ids);
    chunk.sample = true;
    return chunk;
  }

  absl::StatusOr<StepResult> Step(std::vector<SequenceChunk> chunks,
                                  absl::Time deadline = absl::InfiniteFuture()) {
    return model_.worker->Step({.chunks = std::move(chunks), .deadline = deadline});
  }

  absl::StatusCode StepCode(std::vector<SequenceChunk> chunks) {
    return Step(std::move(chunks)).status().code();
  }

  std::vector<Generation> GenerateGreedily() {
    auto generations =
        RunGenerations(*model_.worker, {{.prompt_token_ids = kPrompt, .max_tokens = 8}});
    EXPECT_TRUE(generations.ok()) << generations.status();
    return generations.ok() ? *std::move(generations) : std::vector<Generation>(1);
  }

  ModelUnderTest model_;
};

TEST_F(AttentionWorkerTest, RefusesOptionsOutOfRange) {
  for (const AttentionWorkerOptions& options :
       {AttentionWorkerOptions{.kv_block_size = 20}, AttentionWorkerOptions{.max_step_tokens = 0},
        AttentionWorkerOptions{.expert_timeout_ms = -1},
        AttentionWorkerOptions{.kv_cache_tokens = -5}}) {
    const auto worker =
        AttentionWorker::Create(model_.checkpoint, model_.backend.get(), model_.directory.get(),
                                model_.observer.get(), options);
    EXPECT_EQ(worker.status().code(), absl::StatusCode::kInvalidArgument) << worker.status();
  }
}

TEST_F(AttentionWorkerTest, TakesBlocksAsTheyAreNeededUntilRelease) {
  const KvCacheUsage before = model_.worker->kv_cache_usage();
  EXPECT_EQ(before.block_size, 16);
  EXPECT_EQ(before.num_blocks, 256);
  EXPECT_EQ(before.num_free_blocks, 256);
  ASSERT_TRUE(Add(1, 33).ok());
  EXPECT_EQ(model_.worker->kv_cache_usage().num_free_blocks, 256);
  ASSERT_TRUE(Step({Chunk(1, 0, std::vector<int32_t>(17, 3))}).ok());
  EXPECT_EQ(model_.worker->kv_cache_usage().num_free_blocks, 254);
  model_.worker->ReleaseSequence(1);
  model_.worker->ReleaseSequence(1);  // and an unknown id is ignored
  EXPECT_EQ(model_.worker->kv_cache_usage().num_free_blocks, 256);
}

TEST_F(AttentionWorkerTest, AFullCacheIsResourceExhaustedUntilARelease) {
  Load({.attention = {.kv_cache_tokens = 64}});
  ASSERT_TRUE(Add(1, 64).ok());
  ASSERT_TRUE(Add(2, 64).ok());
  ASSERT_TRUE(Step({Chunk(1, 0, std::vector<int32_t>(49, 3))}).ok());
  const SequenceChunk second = Chunk(2, 0, kPrompt);
  EXPECT_EQ(StepCode({second}), absl::StatusCode::kResourceExhausted);
  model_.worker->ReleaseSequence(1);
  EXPECT_TRUE(Step({second}).ok());
}

TEST_F(AttentionWorkerTest, APrefixHitChangesNoBit) {
  const std::vector<int32_t> prompt = LongPrompt(40);
  SequenceSpec spec;
  spec.id = 1;
  spec.max_total_tokens = 41;
  spec.want_logprobs = true;
  spec.num_top_logprobs = 5;
  spec.sampling = GreedySampling();
  spec.token_ids = prompt;
  spec.max_cached_tokens = 39;
  const absl::StatusOr<int> alone = model_.worker->AddSequence(spec);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(*alone, 0);
  const auto expected = Step({Chunk(1, 0, prompt)});
  ASSERT_TRUE(expected.ok()) << expected.status();
  model_.worker->ReleaseSequence(1);  // the content outlives the sequence

  spec.id = 2;
  const absl::StatusOr<int> cached = model_.worker->AddSequence(spec);
  ASSERT_TRUE(cached.ok()) << cached.status();
  EXPECT_EQ(*cached, 32);
  const auto hit = Step({Chunk(2, 32, {prompt.begin() + 32, prompt.end()})});
  ASSERT_TRUE(hit.ok()) << hit.status();
  const TokenLogprob& a = *expected->chunks[0].sampled;
  const TokenLogprob& b = *hit->chunks[0].sampled;
  EXPECT_EQ(a.token_id, b.token_id);
  EXPECT_EQ(a.logprob, b.logprob);
  EXPECT_EQ(a.top, b.top);
}

TEST_F(AttentionWorkerTest, RefusesTokenIdsOutsideTheVocabulary) {
  SequenceSpec spec;
  spec.max_total_tokens = 4;
  spec.token_ids = {1, 1'000'000};
  EXPECT_EQ(model_.worker->AddSequence(spec).status().code(), absl::StatusCode::kInvalidArgument);
}

// They may be cached: then the sequence began beyond its end.
TEST_F(AttentionWorkerTest, RefusesMoreTokenIdsThanTheSequenceMayHave) {
  SequenceSpec spec;
  spec.max_total_tokens = 4;
  spec.token_ids = {1, 2, 3, 4};
  EXPECT_TRUE(model_.worker->AddSequence(spec).ok());
  spec.id = 1;
  spec.token_ids.push_back(5);
  EXPECT_EQ(model_.worker->AddSequence(spec).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AttentionWorkerTest, WhatCanNeverFitIsInvalid) {
  Load({.attention = {.kv_cache_tokens = 64}});
  EXPECT_EQ(Add(1, 65).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Add(1, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Add(1, std::numeric_limits<int>::max()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AttentionWorkerTest, AnIdInUseIsInvalid) {
  ASSERT_TRUE(Add(1, 10).ok());
  EXPECT_EQ(Add(1, 10).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AttentionWorkerTest, RefusesChunksThatDoNotFit) {
  ASSERT_TRUE(Add(1, 10).ok());
  EXPECT_EQ(StepCode({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(2, 0, {1})}), absl::StatusCode::kNotFound);
  EXPECT_EQ(StepCode({Chunk(1, 0, {})}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(1, 0, {256})}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(1, 0, {-1})}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(1, 1, {1})}), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StepCode({Chunk(1, 0, std::vector<int32_t>(11, 1))}),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StepCode({Chunk(1, 0, {1}), Chunk(1, 1, {1})}), absl::StatusCode::kInvalidArgument);
  SequenceChunk bad_target = Chunk(1, 0, {1});
  bad_target.target_token_ids = {256};
  EXPECT_EQ(StepCode({bad_target}), absl::StatusCode::kInvalidArgument);
  bad_target.target_token_ids = {1, 1};
  EXPECT_EQ(StepCode({bad_target}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(1, 0, {1})}), absl::StatusCode::kOk);  // nothing has changed
}

TEST_F(AttentionWorkerTest, RefusesMoreRowsThanAStepTakes) {
  Load({.attention = {.kv_cache_tokens = 256, .max_step_tokens = 8}});
  ASSERT_TRUE(Add(1, 100).ok());
  EXPECT_EQ(StepCode({Chunk(1, 0, std::vector<int32_t>(9, 1))}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StepCode({Chunk(1, 0, std::vector<int32_t>(8, 1))}), absl::StatusCode::kOk);
}

TEST_F(AttentionWorkerTest, AMissingExpertIsUnavailableAndNamed) {
  model_.directory->SetClients({model_.clients[0]});  // experts 0-3
  ASSERT_TRUE(Add(1, 100).ok());
  const auto result = Step({Chunk(1, 0, kPrompt)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()),
              AllOf(HasSubstr("layer 0"), HasSubstr("expert")));
}

TEST_F(AttentionWorkerTest, AFailedStepRunAgainGivesTheSameBits) {
  const std::vector<Generation> expected = GenerateGreedily();
  for (const auto& client : model_.clients) {
    SCOPED_TRACE(client->address());
    ASSERT_TRUE(Add(7, 100).ok());
    // The layers before the failing one have written to the cache by then.
    client->AnswerWith([](const ExpertBatch&) { return absl::UnavailableError("gone away"); });
    const auto failed = Step({Chunk(7, 0, kPrompt)});
    EXPECT_EQ(failed.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(failed.status().message()),
                AllOf(HasSubstr(client->address()), HasSubstr("gone away"), HasSubstr("layer 0")));
    client->AnswerWithExperts();
    model_.directory->SetClients(model_.clients);
    const auto result = Step({Chunk(7, 0, kPrompt)});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->chunks[0].sampled->token_id, expected[0].token_ids[0]);
    EXPECT_EQ(result->chunks[0].sampled->logprob, expected[0].logprobs[0].logprob);
    model_.worker->ReleaseSequence(7);
  }
}

TEST_F(AttentionWorkerTest, AFailedStepKeepsNoBlocks) {
  for (const int64_t wait_ms : {0, 10'000}) {  // it fails, or is to be given again
    Load({.attention = {.kv_cache_tokens = 64,
                        .expert_wait_timeout_ms = wait_ms,
                        .expert_wait_slice_ms = 1},
          .placement = TwoWorkers});
    ASSERT_TRUE(Add(1, 64).ok());
    ASSERT_TRUE(Step({Chunk(1, 0, kPrompt)}).ok());
    EXPECT_EQ(model_.worker->kv_cache_usage().num_free_blocks, 3);
    model_.directory->SetClients({model_.clients[0]});  // experts 0-3
    const SequenceChunk rest = Chunk(1, 5, LongPrompt(59));
    EXPECT_EQ(StepCode({rest}),
              wait_ms == 0 ? absl::StatusCode::kUnavailable : absl::StatusCode::kAborted);
    EXPECT_EQ(model_.worker->kv_cache_usage().num_free_blocks, 3);
    model_.directory->SetClients(model_.clients);
    EXPECT_TRUE(Step({rest}).ok());
  }
}

TEST_F(AttentionWorkerTest, AFailedStepLeavesRowsToThoseWhoStillReadThem) {
  ASSERT_TRUE(Add(1, 100).ok());
  model_.clients[0]->AnswerWith([](const ExpertBatch&) { return absl::UnavailableError("gone"); });
  model_.clients[1]->Hold();
  EXPECT_EQ(Step({Chunk(1, 0, kPrompt)}).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(Step({Chunk(1, 0, kPrompt)}).status().code() == absl::StatusCode::kUnavailable);
  model_.worker.reset();
  // The held batches are computed after all else is gone, which the address sanitizer watches.
  model_.clients[1]->Release();
}

TEST_F(AttentionWorkerTest, AnswersMayComeFromOtherThreads) {
  const std::vector<Generation> expected = GenerateGreedily();
  ASSERT_TRUE(Add(1, 100).ok());
  for (const auto& client : model_.clients) client->Hold();
  absl::StatusOr<StepResult> result = absl::UnknownError("still running");
  std::thread step([&] { result = Step({Chunk(1, 0, kPrompt)}); });
  std::vector<std::thread> workers;
  for (const auto& client : model_.clients) {
    workers.emplace_back([&client] {
      client->WaitForHeld(1);
      client->Release();
    });
  }
  for (std::thread& worker : workers) worker.join();
  step.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks[0].sampled->token_id, expected[0].token_ids[0]);
}

TEST_F(AttentionWorkerTest, APastDeadlineSendsNothing) {
  ASSERT_TRUE(Add(1, 100).ok());
  EXPECT_EQ(Step({Chunk(1, 0, kPrompt)}, absl::InfinitePast()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  for (const auto& client : model_.clients) EXPECT_THAT(client->batches(), SizeIs(0));
}

TEST_F(AttentionWorkerTest, BatchesCarryTheEarlierOfDeadlineAndTimeout) {
  ASSERT_TRUE(Add(1, 100).ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(20);  // the timeout is 30 s
  ASSERT_TRUE(Step({Chunk(1, 0, kPrompt)}, deadline).ok());
  for (const ExpertBatch& batch : model_.clients[0]->batches()) EXPECT_EQ(batch.deadline, deadline);
  const size_t before = model_.clients[0]->batches().size();
  ASSERT_GT(before, 0u);
  ASSERT_TRUE(Step({Chunk(1, 5, {1})}).ok());
  ASSERT_TRUE(Step({Chunk(1, 6, {2})}).ok());
  const std::vector<ExpertBatch> batches = model_.clients[0]->batches();
  for (size_t i = before; i < batches.size(); ++i) {
    EXPECT_LT(batches[i].deadline, absl::InfiniteFuture());
  }
}

TEST_F(AttentionWorkerTest, ObserverSeesRoutingHopsAndSteps) {
  ASSERT_TRUE(Add(1, 100).ok());
  ASSERT_TRUE(Step({Chunk(1, 0, kPrompt)}).ok());
  const RoutingCounter& seen = *model_.observer;
  EXPECT_THAT(seen.steps, ElementsAre(5));
  ASSERT_THAT(seen.expert_tokens, SizeIs(2));
  for (const std::vector<int64_t>& layer : seen.expert_tokens) {
    int64_t pairs = 0;
    for (const int64_t count : layer) pairs += count;
    EXPECT_EQ(pairs, 5 * 2);
  }
  size_t batches = 0;
  for (const auto& client : model_.clients) batches += client->batches().size();
  EXPECT_EQ(seen.hops.size(), batches);
  EXPECT_THAT(seen.hops, Each(absl::OkStatus()));
}

TEST_F(AttentionWorkerTest, LogprobsAndRoutingComeOnlyWhereAskedFor) {
  SequenceSpec spec;
  spec.id = 1;
  spec.max_total_tokens = 10;
  spec.sampling.temperature = 0.0f;
  ASSERT_TRUE(model_.worker->AddSequence(spec).ok());
  const auto result = Step({Chunk(1, 0, kPrompt)});
  ASSERT_TRUE(result.ok()) << result.status();
  const ChunkResult& chunk = result->chunks[0];
  EXPECT_EQ(chunk.sampled->logprob, 0.0f);
  EXPECT_THAT(chunk.sampled->top, SizeIs(0));
  EXPECT_THAT(chunk.targets, SizeIs(0));
  EXPECT_THAT(chunk.routing.expert_ids, SizeIs(0));
}

TEST_F(AttentionWorkerTest, SameSeedGivesTheSameTextAndAnotherSeedAnother) {
  GenerationSpec spec = {.prompt_token_ids = kPrompt, .max_tokens = 24};
  spec.sampling = SamplingParams();
  spec.sampling.seed = 5;
  GenerationSpec other = spec;
  other.sampling.seed = 6;
  const auto generations = RunGenerations(*model_.worker, {spec, spec, other});
  ASSERT_TRUE(generations.ok()) << generations.status();
  EXPECT_EQ((*generations)[0].token_ids, (*generations)[1].token_ids);
  EXPECT_NE((*generations)[0].token_ids, (*generations)[2].token_ids);
}

TEST_F(AttentionWorkerTest, RepetitionPenaltyCoversPromptAndCompletion) {
  GenerationSpec spec = {.prompt_token_ids = kPrompt, .max_tokens = 24};
  spec.sampling.repetition_penalty = 1e6f;  // what was seen never comes again
  const auto generations = RunGenerations(*model_.worker, {spec});
  ASSERT_TRUE(generations.ok()) << generations.status();
  std::vector<int32_t> all = kPrompt;
  for (const int32_t id : (*generations)[0].token_ids) all.push_back(id);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

}  // namespace
}  // namespace tramontane
