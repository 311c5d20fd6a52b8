// A model with three workers of all experts, which a test disturbs.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_FAILOVER_FIXTURE_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_FAILOVER_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "attention_worker/attention_worker.h"
#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/model_under_test.h"

namespace tramontane {

inline const GenerationSpec kGeneration = {.prompt_token_ids = {1, 17, 99, 42, 7, 8, 150},
                                           .max_tokens = 12};

class FailoverTest : public ::testing::Test {
 protected:
  void SetUp() override { Load({}); }

  // Three workers with all experts, unless the options say otherwise.
  void Load(ModelOptions options) {
    if (options.placement == nullptr) {
      options.placement = [](const MixtralConfig& config) {
        return Placement(3, ExpertsOfEveryLayer(config, 0, config.num_experts - 1));
      };
    }
    auto model = LoadModel(CheckpointDirectory("tiny_f32"), options);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    quiet_ = Generate();  // also measures the workers
  }

  static ModelOptions With(AttentionWorkerOptions attention) {
    ModelOptions options;
    attention.kv_cache_tokens = 4096;
    attention.max_step_tokens = 512;
    options.attention = attention;
    return options;
  }

  Generation Generate() {
    auto generations = RunGenerations(*model_.worker, {kGeneration});
    EXPECT_TRUE(generations.ok()) << generations.status();
    return generations.ok() ? generations->front() : Generation();
  }

  // The first step of a sequence that is added for it.
  StepRequest AddOne(int num_tokens = 2) {
    SequenceSpec spec;
    spec.id = 77;
    spec.max_total_tokens = num_tokens + 8;
    EXPECT_TRUE(model_.worker->AddSequence(spec).ok());
    SequenceChunk chunk;
    chunk.id = 77;
    for (int i = 0; i < num_tokens; ++i) chunk.token_ids.push_back(1 + i % 200);
    StepRequest request;
    request.chunks = {chunk};
    return request;
  }
  absl::Status StepAlone(absl::Time deadline = absl::InfiniteFuture()) {
    StepRequest request = AddOne();
    request.deadline = deadline;
    return model_.worker->Step(request).status();
  }

  // What is generated where no worker has an expert, until `client` has them all.
  Generation GenerateOnceThereIs(const std::shared_ptr<FakeExpertClient>& client) {
    Generation generation;
    std::thread run([&] { generation = Generate(); });
    model_.directory->WaitForWaiter();
    model_.directory->SetClients({client});
    run.join();
    return generation;
  }

  absl::Status Outcome() { return RunGenerations(*model_.worker, {kGeneration}).status(); }

  void ExpectQuiet(const Generation& generation) const {
    EXPECT_EQ(generation.token_ids, quiet_.token_ids);
    ASSERT_EQ(generation.logprobs.size(), quiet_.logprobs.size());
    for (size_t i = 0; i < quiet_.logprobs.size(); ++i) {
      EXPECT_EQ(generation.logprobs[i].logprob, quiet_.logprobs[i].logprob) << i;
    }
  }

  // Whoever is asked for the batch number `number` from now, answers it with `answer`.
  void Disturb(int number, const FakeExpertClient::Answer& answer) {
    const auto count = std::make_shared<std::atomic<int>>(0);
    for (const auto& client : model_.clients) {
      client->AnswerWith([=, raw = client.get()](const ExpertBatch& batch) {
        return count->fetch_add(1) == number ? answer(batch) : raw->Compute(batch);
      });
    }
  }

  // Whoever is asked for the batch number `number` from now is silent from then on.
  void Silence(int number) {
    const auto count = std::make_shared<std::atomic<int>>(0);
    for (const auto& client : model_.clients) {
      client->HoldWhen([count, number] { return count->fetch_add(1) == number; });
    }
  }

  const RoutingCounter& seen() const { return *model_.observer; }

  ModelUnderTest model_;
  Generation quiet_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_FAILOVER_FIXTURE_H_
