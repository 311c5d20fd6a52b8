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
#include "tests/attention_worker/failover_fixture.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

TEST_F(FailoverTest, ManyBatchesToAWorkerThatBreaksAreOneFailure) {
  ModelOptions options;
  options.max_batch_rows = 1;
  Load(options);
  const auto& client = model_.clients[0];
  model_.directory->SetClients({client});
  client->Hold();
  absl::Status status;
  constexpr size_t kTokens = 300;
  const StepRequest request = AddOne(kTokens);
  std::thread run([&] { status = model_.worker->Step(request).status(); });
  client->WaitForHeld(2 * kTokens);
  model_.directory->SetClients(model_.clients);
  client->AnswerWith([](const ExpertBatch&) { return absl::UnavailableError("killed"); });
  client->Release();
  run.join();
  EXPECT_TRUE(status.ok()) << status;
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
  constexpr int kSeeds = 20;
  constexpr size_t kRetries = 20;
  // How many batches the two get is a matter of time: more seeds where those gave too few.
  const auto go_on = [&](int seed) {
    return seed < kSeeds || (seed < 20 * kSeeds && seen().retries.size() < kRetries);
  };
  for (int seed = 0; go_on(seed); ++seed) {
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
  EXPECT_GE(seen().retries.size(), kRetries);
}

}  // namespace
}  // namespace tramontane
