#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "attention_worker/grpc/worker_discovery.h"
#include "tests/attention_worker/grpc/fake_expert_network.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

// Two replicas of everything.
class WorkerSetAsideTest : public testing::Test {
 protected:
  WorkerSetAsideTest() {
    network_.SetName("a", {"1:1", "2:2"});
    network_.StartWorker("1:1", 0, 3);
    network_.StartWorker("2:2", 0, 3);
  }

  // The client to `address` that serves now; null: none.
  static std::shared_ptr<ExpertClient> ClientOf(const WorkerDiscovery& discovery,
                                                const std::string& address) {
    for (const auto& client : discovery.placement()->Replicas(0, 0)) {
      if (client->address() == address) return client;
    }
    return nullptr;
  }

  // A worker that is set aside stays so for an hour.
  WorkerDiscoveryOptions StayingAside() {
    WorkerDiscoveryOptions options = network_.Options({"a"});
    options.worker_return.set_aside = {absl::Hours(1), absl::Hours(1)};
    return options;
  }

  void AwaitBoth() {
    network_.AwaitState("1:1", WorkerState::kServing);
    network_.AwaitState("2:2", WorkerState::kServing);
  }

  FakeExpertNetwork network_;
};

TEST_F(WorkerSetAsideTest, PlacementLacksTheWorkerAtOnce) {
  WorkerDiscovery discovery(StayingAside(), &network_);
  AwaitBoth();
  discovery.SetAside(ClientOf(discovery, "1:1"), absl::DeadlineExceededError("silent"));
  ASSERT_EQ(discovery.placement()->Replicas(1, 3).size(), 1u);
  EXPECT_EQ(discovery.placement()->Replicas(1, 3).front()->address(), "2:2");
  const WorkerSnapshot worker = network_.AwaitState("1:1", WorkerState::kSetAside);
  EXPECT_THAT(std::string(worker.last_error.message()), HasSubstr("silent"));
  EXPECT_EQ(worker.num_set_aside, 1);
}

// Whoever still found the client there would take it for one that cannot be set aside, and give up
// where it is the last. Many times, as the placement soon follows by itself.
TEST_F(WorkerSetAsideTest, PlacementLacksAWorkerWhoseLossItsConnectionHasSeenFirst) {
  network_.SetName("a", {"1:1"});
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  for (int round = 0; round < 200; ++round) {
    network_.AwaitMissing(0);
    const std::shared_ptr<ExpertClient> client = ClientOf(discovery, "1:1");
    network_.StopWorker("1:1");
    while (discovery.workers().front().state == WorkerState::kServing) continue;
    discovery.SetAside(client, absl::UnavailableError("the stream broke"));
    ASSERT_EQ(ClientOf(discovery, "1:1"), nullptr) << "round " << round;
    network_.StartWorker("1:1", 0, 3);
  }
}

TEST_F(WorkerSetAsideTest, WorkerReturnsByItselfWithAnotherClient) {
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  network_.AwaitState("1:1", WorkerState::kServing);
  const std::shared_ptr<ExpertClient> old = ClientOf(discovery, "1:1");
  discovery.SetAside(old, absl::DeadlineExceededError("silent"));
  network_.AwaitState("1:1", WorkerState::kServing);
  EXPECT_NE(ClientOf(discovery, "1:1"), nullptr);
  EXPECT_NE(ClientOf(discovery, "1:1"), old);
}

TEST_F(WorkerSetAsideTest, ReportAboutAFormerClientIsIgnored) {
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  network_.AwaitState("1:1", WorkerState::kServing);
  const std::shared_ptr<ExpertClient> old = ClientOf(discovery, "1:1");
  discovery.SetAside(old, absl::DeadlineExceededError("silent"));
  network_.AwaitState("1:1", WorkerState::kServing);
  discovery.SetAside(old, absl::DeadlineExceededError("silent"));
  EXPECT_NE(ClientOf(discovery, "1:1"), nullptr);
  EXPECT_EQ(network_.AwaitState("1:1", WorkerState::kServing).num_set_aside, 1);
}

TEST_F(WorkerSetAsideTest, AWorkerIsTriedSoonWhereNobodyElseHasItsExperts) {
  WorkerDiscovery discovery(StayingAside(), &network_);
  AwaitBoth();
  discovery.SetAside(ClientOf(discovery, "1:1"), absl::DeadlineExceededError("silent"));
  network_.AwaitState("1:1", WorkerState::kSetAside);
  network_.StopWorker("2:2");
  network_.AwaitState("1:1", WorkerState::kServing);
  EXPECT_NE(ClientOf(discovery, "1:1"), nullptr);
}

TEST_F(WorkerSetAsideTest, AWorkerThatIsMissedAndFailsItsProbesIsTriedAgainAndAgain) {
  network_.SetName("a", {"1:1"});
  WorkerDiscovery discovery(StayingAside(), &network_);
  network_.AwaitState("1:1", WorkerState::kServing);
  network_.AnswerProbes("1:1", absl::FailedPreconditionError("a wrong answer"));
  discovery.SetAside(ClientOf(discovery, "1:1"), absl::InternalError("no finite numbers"));
  network_.AwaitWrongAnswers("1:1", 3);
  network_.AnswerProbes("1:1", absl::OkStatus());
  network_.AwaitState("1:1", WorkerState::kServing);
}

TEST_F(WorkerSetAsideTest, WorkerThatAnswersItsProbeWronglyIsNotUsed) {
  network_.AnswerProbes("1:1", absl::FailedPreconditionError("a wrong answer"));
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  network_.AwaitState("2:2", WorkerState::kServing);
  network_.AwaitState("1:1", WorkerState::kSetAside);
  EXPECT_EQ(ClientOf(discovery, "1:1"), nullptr);
  network_.AwaitWrongAnswers("1:1", 3);  // another expert is asked each time
  network_.AnswerProbes("1:1", absl::OkStatus());
  network_.AwaitState("1:1", WorkerState::kServing);
  EXPECT_NE(ClientOf(discovery, "1:1"), nullptr);
}

TEST_F(WorkerSetAsideTest, WaitEndsWhenTheWorkerIsBack) {
  network_.SetName("a", {"1:1"});
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  network_.AwaitMissing(0);
  discovery.SetAside(ClientOf(discovery, "1:1"), absl::DeadlineExceededError("silent"));
  std::shared_ptr<const ExpertPlacement> placement = discovery.placement();
  while (!placement->MissingExperts().empty()) {
    placement = discovery.AwaitChange(placement, absl::Now() + absl::Minutes(1));
  }
  EXPECT_EQ(placement->Replicas(0, 0).front()->address(), "1:1");
}

TEST_F(WorkerSetAsideTest, WaitEndsAtItsDeadline) {
  WorkerDiscovery discovery(network_.Options({"a"}), &network_);
  AwaitBoth();
  const auto placement = discovery.placement();
  EXPECT_NE(discovery.AwaitChange(placement, absl::Now() + absl::Milliseconds(1)), nullptr);
}

TEST(BackoffTest, RepeatOffendersWaitLongerUpToALimit) {
  Backoff backoff({absl::Seconds(1), absl::Seconds(8)});
  for (const int seconds : {1, 2, 4, 8, 8}) {
    const absl::Duration delay = backoff.Next();
    EXPECT_GE(delay, 0.75 * absl::Seconds(seconds));
    EXPECT_LE(delay, 1.25 * absl::Seconds(seconds));
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Seconds(1.25));
}

}  // namespace
}  // namespace tramontane
