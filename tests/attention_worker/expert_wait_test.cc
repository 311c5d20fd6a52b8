// Steps that wait for a worker with an expert that nobody hosts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/time/clock.h"
#include "attention_worker/dispatch_terms.h"
#include "attention_worker/expert_wait.h"
#include "tests/attention_worker/failover_fixture.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ExpertWaitTest : public FailoverTest {};

TEST_F(ExpertWaitTest, WithoutAWorkerTheStepWaitsAndThenContinues) {
  model_.directory->SetClients({});
  ExpectQuiet(GenerateOnceThereIs(model_.clients[2]));
  EXPECT_EQ(seen().expert_waits, 1);
  EXPECT_EQ(seen().running_expert_waits, 0);
  EXPECT_EQ(seen().stalls, 1);
}

TEST_F(ExpertWaitTest, TheLastWorkerMayBreakAndComeBackInTheMiddleOfALayer) {
  model_.directory->SetClients({model_.clients[0]});
  Disturb(5, [](const ExpertBatch&) { return absl::UnavailableError("restarted"); });
  ExpectQuiet(GenerateOnceThereIs(model_.clients[0]));
}

// Else it would break every worker that comes back, for ever, and hold up all others.
TEST_F(ExpertWaitTest, AStepThatBreaksEachWorkerThatComesBackIsGivenUp) {
  Load(With({.expert_wait_slice_ms = 1}));
  model_.clients[0]->AnswerWith(
      [](const ExpertBatch&) { return absl::UnavailableError("out of memory"); });
  absl::Status status = absl::AbortedError("not yet");
  int rounds = 0;
  const StepRequest request = AddOne();
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
  ExpectQuiet(GenerateOnceThereIs(model_.clients[0]));
}

TEST(ExpertWaitTimesTest, AWaitThatNobodyWentOnWithIsForgotten) {
  StepObserver observer;
  ExpertWait wait(&observer, ForgetWaitAfter(ExpertDispatcherOptions()));
  const absl::Time start = absl::UnixEpoch();
  EXPECT_EQ(wait.Enter(0, {4}, start), start);
  wait.Interrupt(start + absl::Seconds(1));
  wait.BeginStep(start + absl::Seconds(1.001));
  // The step took its time until it was there again.
  EXPECT_EQ(wait.Enter(0, {4}, start + absl::Seconds(11)), start);
  wait.Interrupt(start + absl::Seconds(12));
  wait.BeginStep(start + absl::Seconds(31));
  EXPECT_EQ(wait.Enter(0, {4}, start + absl::Seconds(32)), start + absl::Seconds(32));
}

TEST(ExpertWaitTimesTest, ReturnsAreChargedToTheStepThatTheyInterrupted) {
  StepObserver observer;
  ExpertWait wait(&observer, absl::Seconds(3));
  ExpertPlacement placement;
  placement.num_layers = placement.num_experts = 1;
  placement.replicas = {{nullptr}};
  const absl::Time start = absl::UnixEpoch();
  for (int round = 0; round < 3; ++round) {
    wait.BeginStep(start);
    wait.Enter(0, {0}, start);
    wait.Interrupt(start);
    wait.OnPlacement(placement, start);
  }
  EXPECT_EQ(wait.num_returns(), 3);
  wait.BeginStep(start + absl::Seconds(10));
  EXPECT_EQ(wait.num_returns(), 0);
}

TEST_F(ExpertWaitTest, TheWaitForAWorkerIsBoundedAndNamesLayerAndExperts) {
  Load(With({.expert_wait_timeout_ms = 1}));
  model_.directory->SetClients({});
  const absl::Status status = Outcome();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer 0 experts"));
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(ExpertWaitTest, AStepInterruptsItsWaitAndGivenAgainGoesOn) {
  // Each step waits for a millisecond, so the first is interrupted before anybody can help it.
  Load(With({.expert_wait_slice_ms = 1}));
  model_.directory->SetClients({});
  const StepRequest request = AddOne();
  const absl::Status first = model_.worker->Step(request).status();
  EXPECT_EQ(first.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(first.message()), HasSubstr("layer 0 experts"));
  EXPECT_EQ(seen().running_expert_waits, 0);
  model_.directory->SetClients(model_.clients);
  EXPECT_TRUE(model_.worker->Step(request).ok());
  EXPECT_EQ(seen().interrupted_expert_waits, 1);
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(ExpertWaitTest, AWaitInManyStepsIsBoundedAsOneIs) {
  Load(With({.expert_wait_timeout_ms = 20, .expert_wait_slice_ms = 1}));
  model_.directory->SetClients({});
  // Outcome gives each step again that ends with ABORTED.
  EXPECT_EQ(Outcome().code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(seen().interrupted_expert_waits, 0);
  EXPECT_EQ(seen().running_expert_waits, 0);
}

TEST_F(ExpertWaitTest, TheStepsDeadlineEndsTheWait) {
  model_.directory->SetClients({});
  EXPECT_EQ(StepAlone(absl::Now() + absl::Milliseconds(30)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace tramontane
