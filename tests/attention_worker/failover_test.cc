// Expert workers that fail, fall silent, answer wrongly or are not there, in the middle of a
// generation: whatever happens to them, tokens and log-probabilities are those of a quiet run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/dispatch_terms.h"
#include "attention_worker/expert_wait.h"
#include "tests/attention_worker/generation.h"
#include "tests/attention_worker/model_under_test.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const GenerationSpec kGeneration = {.prompt_token_ids = {1, 17, 99, 42, 7, 8, 150},
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

  // One step of a sequence of its own.
  absl::Status StepAlone(absl::Time deadline = absl::InfiniteFuture()) {
    SequenceSpec spec;
    spec.id = 77;
    spec.max_total_tokens = 10;
    EXPECT_TRUE(model_.worker->AddSequence(spec).ok());
    SequenceChunk chunk;
    chunk.id = 77;
    chunk.token_ids = {1, 2};
    return model_.worker->Step({.chunks = {chunk}, .deadline = deadline}).status();
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

TEST_F(FailoverTest, AWorkerThatBreaksIsSetAsideAndItsRowsGoToAnother) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kUnavailable, absl::StatusCode::kInternal, absl::StatusCode::kNotFound,
        absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kCancelled,
        absl::StatusCode::kUnknown}) {
    SCOPED_TRACE(absl::StatusCodeToString(code));
    Load({});
    Disturb(7, [code](const ExpertBatch&) { return absl::Status(code, "broken"); });
    ExpectQuiet(Generate());
    EXPECT_THAT(seen().set_aside, SizeIs(1));
    ASSERT_THAT(model_.directory->set_aside(), SizeIs(1));
    EXPECT_EQ(model_.directory->set_aside()[0].first, seen().set_aside[0]);
    EXPECT_EQ(model_.directory->set_aside()[0].second.code(), code);
    EXPECT_THAT(seen().retries, ElementsAre(absl::StatusCodeToString(code)));
    EXPECT_EQ(seen().stalls, 1);
  }
}

TEST_F(FailoverTest, AWorkerThatIsBusyIsNotSetAside) {
  Disturb(7, [](const ExpertBatch&) { return absl::ResourceExhaustedError("busy"); });
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().retries, ElementsAre("RESOURCE_EXHAUSTED"));
  EXPECT_THAT(seen().set_aside, IsEmpty());
}

TEST_F(FailoverTest, ABatchThatOneWorkerRefusesGoesToOneOther) {
  Disturb(7, [](const ExpertBatch&) { return absl::InvalidArgumentError("not mine"); });
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().set_aside, IsEmpty());
}

TEST_F(FailoverTest, ABatchThatTwoRefuseIsOurFaultAndSaysWhy) {
  std::atomic<int> refusals = 0;
  for (const auto& client : model_.clients) {
    client->AnswerWith([&](const ExpertBatch&) {
      ++refusals;
      return absl::InvalidArgumentError("a row is not finite");
    });
  }
  const absl::Status status = Outcome();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("layer 0"), HasSubstr("not finite"), HasSubstr("fake-")));
  EXPECT_LE(refusals, 5);  // the first batches and one other try
  EXPECT_THAT(seen().set_aside, IsEmpty());
}

TEST_F(FailoverTest, AnAnswerOfTheWrongShapeIsNotUsed) {
  Disturb(4, [](const ExpertBatch&) { return ExpertBatchResult(); });
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().retries, ElementsAre("INTERNAL"));
  EXPECT_THAT(seen().set_aside, SizeIs(1));
}

TEST_F(FailoverTest, ARowThatIsNotFiniteIsNotUsed) {
  Disturb(4, [](const ExpertBatch& batch) {
    const auto row = std::make_shared<std::vector<float>>(batch.hidden_size, 0.0f);
    row->back() = std::numeric_limits<float>::quiet_NaN();
    ExpertBatchResult result;
    result.row_pointers.assign(batch.row_indices.size(),
                               reinterpret_cast<const std::byte*>(row->data()));
    result.owner = row;
    return result;
  });
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().set_aside, SizeIs(1));
}

TEST_F(FailoverTest, TwoOfThreeMayBreak) {
  std::atomic<int> broken = 0;
  for (const auto& client : model_.clients) {
    client->AnswerWith([&broken, raw = client.get(), count = std::make_shared<int>(0)](
                           const ExpertBatch& batch) -> absl::StatusOr<ExpertBatchResult> {
      if (++*count == 5 && ++broken <= 2) return absl::UnavailableError("killed");
      return raw->Compute(batch);
    });
  }
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().set_aside, SizeIs(2));
}

TEST_F(FailoverTest, ASilentWorkersRowsGoToAnotherAndItsLateAnswersAreDropped) {
  Silence(7);
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().retries, Contains("SILENT"));
  EXPECT_THAT(seen().set_aside, SizeIs(1));
  for (const auto& client : model_.clients) client->Release();  // late duplicates
  model_.directory->SetClients(model_.clients);
  ExpectQuiet(Generate());
  EXPECT_GE(seen().late_answers, 1);
  EXPECT_THAT(seen().set_aside, SizeIs(1));
}

TEST_F(FailoverTest, MicroBatchesSurviveSilenceToo) {
  Load(With({.ping_pong_min_rows = 2}));
  Silence(2);
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().set_aside, SizeIs(1));
}

TEST_F(FailoverTest, ASilentWorkerThatAloneHasAnExpertIsWaitedForAndNotSetAside) {
  ModelOptions options;
  options.placement = [](const MixtralConfig& config) {
    const int last = config.num_experts - 1;
    return Placement{ExpertsOfEveryLayer(config, 0, last),
                     ExpertsOfEveryLayer(config, 0, last - 1)};
  };
  Load(options);
  // Worker 1 counts as slow, so that worker 0 is asked for all experts.
  for (int i = 0; i < 64; ++i) {
    model_.clients[1]->load()->Answered(/*units=*/1, /*units_ahead=*/1, absl::Seconds(1),
                                        /*overhead=*/absl::ZeroDuration(), absl::Now());
  }
  model_.clients[0]->Hold();
  Generation generation;
  std::thread run([&] { generation = Generate(); });
  // What worker 1 has as well goes to it after a while.
  model_.observer->WaitForRetry();
  model_.clients[0]->Release();
  run.join();
  ExpectQuiet(generation);
  EXPECT_THAT(seen().set_aside, IsEmpty());
}

TEST_F(FailoverTest, TheEndOfAllStepsEndsAWaitForASilentWorkerThatHasBegun) {
  ModelOptions options;
  options.placement = [](const MixtralConfig& config) {
    return Placement(1, ExpertsOfEveryLayer(config, 0, config.num_experts - 1));
  };
  Load(options);
  model_.clients[0]->Hold();
  absl::Status outcome;
  std::thread run([&] { outcome = Outcome(); });
  model_.clients[0]->WaitForHeld(1);
  const absl::Time begin = absl::Now();
  model_.worker->EndStepsBy(begin);
  run.join();
  EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10)) << "a batch may take 30 s";
  // Nor does another one begin.
  model_.clients[0]->Release();
  EXPECT_EQ(StepAlone().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(FailoverTest, HedgingTakesTheFirstAnswerAndBlamesNobody) {
  Load(With({.hedge_after = 1e-3}));
  Silence(7);
  ExpectQuiet(Generate());
  EXPECT_GE(seen().hedges, 1);
  for (const auto& client : model_.clients) client->Release();
}

TEST_F(FailoverTest, WithoutAWorkerTheStepWaitsAndThenContinues) {
  model_.directory->SetClients({});
  Generation generation;
  std::thread run([&] { generation = Generate(); });
  model_.directory->WaitForWaiter();
  model_.directory->SetClients({model_.clients[2]});
  run.join();
  ExpectQuiet(generation);
  EXPECT_EQ(seen().expert_waits, 1);
  EXPECT_EQ(seen().running_expert_waits, 0);
  EXPECT_EQ(seen().stalls, 1);
}

TEST_F(FailoverTest, TheLastWorkerMayBreakAndComeBackInTheMiddleOfALayer) {
  model_.directory->SetClients({model_.clients[0]});
  Disturb(5, [](const ExpertBatch&) { return absl::UnavailableError("restarted"); });
  Generation generation;
  std::thread run([&] { generation = Generate(); });
  model_.directory->WaitForWaiter();
  model_.directory->SetClients({model_.clients[0]});
  run.join();
  ExpectQuiet(generation);
}

// Else it would break every worker that comes back, for ever, and hold up all others.
TEST_F(FailoverTest, AStepThatBreaksEachWorkerThatComesBackIsGivenUp) {
  Load(With({.expert_wait_slice_ms = 1}));
  model_.clients[0]->AnswerWith(
      [](const ExpertBatch&) { return absl::UnavailableError("out of memory"); });
  absl::Status status = absl::AbortedError("not yet");
  int rounds = 0;
  SequenceSpec spec;
  spec.id = 77;
  spec.max_total_tokens = 10;
  ASSERT_TRUE(model_.worker->AddSequence(spec).ok());
  SequenceChunk chunk;
  chunk.id = 77;
  chunk.token_ids = {1, 2};
  StepRequest request;
  request.chunks = {chunk};
  for (; absl::IsAborted(status) && rounds < 100; ++rounds) {
    model_.directory->SetClients({model_.clients[0]});
    status = model_.worker->Step(request).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("layer 0 experts"), HasSubstr("out of memory")));
  EXPECT_LE(rounds, 4);
  // Other rows have as many attempts as these had.
  model_.clients[0]->AnswerWithExperts();
  Disturb(5, [](const ExpertBatch&) { return absl::UnavailableError("restarted"); });
  model_.directory->SetClients({model_.clients[0]});
  Generation generation;
  std::thread run([&] { generation = Generate(); });
  model_.directory->WaitForWaiter();
  model_.directory->SetClients({model_.clients[0]});
  run.join();
  ExpectQuiet(generation);
}

TEST_F(FailoverTest, ManyBatchesToAWorkerThatBreaksAreOneFailure) {
  ModelOptions options;
  options.max_batch_rows = 1;
  Load(options);
  model_.clients[0]->Hold();
  absl::Status status;
  std::thread run([&] {
    SequenceSpec spec;
    spec.id = 78;
    spec.max_total_tokens = 400;
    status = model_.worker->AddSequence(spec).status();
    SequenceChunk chunk;
    chunk.id = 78;
    for (int i = 0; i < 300; ++i) chunk.token_ids.push_back(1 + i % 200);
    if (status.ok()) status = model_.worker->Step({.chunks = {chunk}}).status();
  });
  model_.clients[0]->WaitForHeld(80);
  model_.clients[0]->AnswerWith(
      [](const ExpertBatch&) { return absl::UnavailableError("killed"); });
  model_.clients[0]->Release();
  run.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ExpertWaitTest, AWaitThatNobodyWentOnWithIsForgotten) {
  StepObserver observer;
  ExpertWait wait(&observer, ForgetWaitAfter(ExpertDispatcherOptions()));
  const absl::Time start = absl::UnixEpoch();
  EXPECT_EQ(wait.Enter(0, {4}, start), start);
  wait.Interrupt(start + absl::Seconds(1));
  EXPECT_EQ(wait.Enter(0, {4}, start + absl::Seconds(2)), start);
  wait.Interrupt(start + absl::Seconds(12));
  EXPECT_EQ(wait.Enter(0, {4}, start + absl::Seconds(32)), start + absl::Seconds(32));
}

TEST_F(FailoverTest, TheWaitForAWorkerIsBoundedAndNamesLayerAndExperts) {
  Load(With({.expert_wait_timeout_ms = 1}));
  model_.directory->SetClients({});
  const absl::Status status = Outcome();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer 0 experts"));
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(FailoverTest, AStepInterruptsItsWaitAndGivenAgainGoesOn) {
  // Each step waits for a millisecond, so the first is interrupted before anybody can help it.
  Load(With({.expert_wait_slice_ms = 1}));
  model_.directory->SetClients({});
  SequenceSpec spec;
  spec.id = 77;
  spec.max_total_tokens = 10;
  ASSERT_TRUE(model_.worker->AddSequence(spec).ok());
  SequenceChunk chunk;
  chunk.id = 77;
  chunk.token_ids = {1, 2};
  StepRequest request;
  request.chunks = {chunk};
  const absl::Status first = model_.worker->Step(request).status();
  EXPECT_EQ(first.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(first.message()), HasSubstr("layer 0 experts"));
  EXPECT_EQ(seen().running_expert_waits, 0);
  model_.directory->SetClients(model_.clients);
  EXPECT_TRUE(model_.worker->Step(request).ok());
  EXPECT_EQ(seen().interrupted_expert_waits, 1);
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(FailoverTest, AWaitInManyStepsIsBoundedAsOneIs) {
  Load(With({.expert_wait_timeout_ms = 20, .expert_wait_slice_ms = 1}));
  model_.directory->SetClients({});
  // Outcome gives each step again that ends with ABORTED.
  EXPECT_EQ(Outcome().code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(seen().interrupted_expert_waits, 0);
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(FailoverTest, TheStepsDeadlineEndsTheWait) {
  model_.directory->SetClients({});
  EXPECT_EQ(StepAlone(absl::Now() + absl::Milliseconds(30)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(FailoverTest, AllBusyForAWhileIsNoFailure) {
  std::atomic<int> refusals = 0;
  for (const auto& client : model_.clients) {
    client->AnswerWith([&refusals, raw = client.get()](
                           const ExpertBatch& batch) -> absl::StatusOr<ExpertBatchResult> {
      if (++refusals <= 6) return absl::ResourceExhaustedError("busy");
      return raw->Compute(batch);
    });
  }
  ExpectQuiet(Generate());
  EXPECT_THAT(seen().set_aside, IsEmpty());
}

// Whatever fails, as long as one worker is left.
TEST_F(FailoverTest, RandomFailuresChangeNoBit) {
  constexpr absl::StatusCode kCodes[] = {absl::StatusCode::kUnavailable,
                                         absl::StatusCode::kInternal, absl::StatusCode::kNotFound,
                                         absl::StatusCode::kResourceExhausted};
  for (int seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    model_.directory->SetClients(model_.clients);
    std::mt19937 random(seed);
    for (const auto& client : {model_.clients[0], model_.clients[1]}) {
      client->AnswerWith([&random, &kCodes, raw = client.get()](
                             const ExpertBatch& batch) -> absl::StatusOr<ExpertBatchResult> {
        if (random() % 8 == 0) return absl::Status(kCodes[random() % 4], "random");
        return raw->Compute(batch);
      });
    }
    ExpectQuiet(Generate());
  }
  EXPECT_GE(seen().retries.size(), 20u);
}

}  // namespace
}  // namespace tramontane
