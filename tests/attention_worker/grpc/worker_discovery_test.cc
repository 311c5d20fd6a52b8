#include "attention_worker/grpc/worker_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "attention_worker/grpc/address_resolver.h"
#include "tests/attention_worker/grpc/fake_expert_network.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(WorkerDiscoveryTest, IsReadyOnceEveryExpertHasAWorker) {
  FakeExpertNetwork network;
  network.SetName("a", {"1:1"});
  network.SetName("b", {"2:2"});
  network.StartWorker("1:1", 0, 1);
  WorkerDiscovery discovery(network.Options({"a", "b"}), &network);
  network.AwaitMissing(kLayers * 2);
  const absl::Status missing = discovery.readiness();
  EXPECT_EQ(missing.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(missing.message()), AllOf(HasSubstr("2-3"), HasSubstr("layer 0")));
  network.StartWorker("2:2", 2, 3);
  network.AwaitMissing(0);
  EXPECT_TRUE(discovery.readiness().ok());
  EXPECT_EQ(discovery.placement()->Replicas(1, 3).front()->address(), "2:2");
}

TEST(WorkerDiscoveryTest, EveryAddressOfANameIsAWorker) {
  FakeExpertNetwork network;
  network.SetName("workers", {"1:1", "2:2", "3:3"});
  network.StartWorker("1:1", 0, 1);
  network.StartWorker("2:2", 2, 3);
  network.StartWorker("3:3", 0, 3);
  WorkerDiscovery discovery(network.Options({"workers"}), &network);
  EXPECT_TRUE(discovery.AwaitFirstAttempts(absl::Minutes(1)));
  network.AwaitMissing(0);
  EXPECT_EQ(discovery.placement()->Replicas(0, 0).size(), 2u) << "replicas";
}

TEST(WorkerDiscoveryTest, LostWorkerLeavesThePlacementAndComesBack) {
  FakeExpertNetwork network;
  network.SetName("a", {"1:1"});
  network.StartWorker("1:1", 0, 3);
  WorkerDiscovery discovery(network.Options({"a"}), &network);
  network.AwaitMissing(0);
  network.StopWorker("1:1");
  network.AwaitMissing(kLayers * kExperts);
  EXPECT_FALSE(discovery.readiness().ok());
  network.StartWorker("1:1", 0, 3);
  network.AwaitMissing(0);
  EXPECT_TRUE(discovery.readiness().ok());
}

TEST(WorkerDiscoveryTest, RefusalIsInTheReason) {
  FakeExpertNetwork network;
  network.SetName("a", {"1:1"});
  network.Refuse("1:1", "expected digest abc, found digest def");
  WorkerDiscovery discovery(network.Options({"a"}), &network);
  EXPECT_TRUE(discovery.AwaitFirstAttempts(absl::Minutes(1)));
  EXPECT_THAT(std::string(discovery.readiness().message()),
              AllOf(HasSubstr("1:1"), HasSubstr("digest abc"), HasSubstr("digest def")));
}

TEST(WorkerDiscoveryTest, AReplicaOfAnotherBackendServesOnlyWhereThatIsAllowed) {
  for (const bool allowed : {false, true}) {
    FakeExpertNetwork network;
    network.SetName("a", {"1:1"});
    network.StartWorker("1:1", 0, 3, "cuda-sm_90");
    WorkerDiscoveryOptions options = network.Options({"a"});
    options.allow_mixed_backends = allowed;
    WorkerDiscovery discovery(std::move(options), &network);
    network.AwaitMissing(0);
    network.StartWorker("2:2", 2, 3, "cpu-avx2");
    network.SetName("a", {"1:1", "2:2"});
    if (allowed) {
      network.AwaitState("2:2", WorkerState::kServing);
      EXPECT_EQ(discovery.placement()->Replicas(0, 2).size(), 2u);
      continue;
    }
    const WorkerSnapshot refused = network.AwaitState("2:2", WorkerState::kGone);
    EXPECT_EQ(refused.last_error.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.last_error.message()),
                AllOf(HasSubstr("cuda-sm_90 as of 1:1"), HasSubstr("found cpu-avx2")));
    EXPECT_EQ(discovery.placement()->Replicas(0, 2).size(), 1u);
    // Once no other address says otherwise, it is as good as any.
    network.SetName("a", {"2:2"});
    network.AwaitState("2:2", WorkerState::kServing);
  }
}

TEST(WorkerDiscoveryTest, NameThatDoesNotResolveIsInTheReason) {
  FakeExpertNetwork network;
  WorkerDiscovery discovery(network.Options({"nowhere:1"}), &network);
  network.AwaitMissing(kLayers * kExperts);
  EXPECT_THAT(std::string(discovery.readiness().message()),
              HasSubstr("nowhere:1 does not resolve"));
}

TEST(WorkerDiscoveryTest, WorkerThatLeavesItsNameGetsNoNewWork) {
  FakeExpertNetwork network;
  network.SetName("a", {"1:1", "2:2"});
  network.StartWorker("1:1", 0, 3);
  network.StartWorker("2:2", 0, 1);
  WorkerDiscovery discovery(network.Options({"a"}), &network);
  network.AwaitMissing(0);
  network.SetName("a", {"2:2"});
  network.AwaitMissing(kLayers * 2);
  EXPECT_EQ(discovery.placement()->Replicas(0, 0).front()->address(), "2:2");
  network.AwaitGone("1:1");
}

TEST(WorkerDiscoveryTest, OneLookupThatLacksAnAddressDoesNotRemoveIt) {
  FakeExpertNetwork network;
  network.SetName("a", {"1:1"});
  network.StartWorker("1:1", 0, 3);
  WorkerDiscoveryOptions options = network.Options({"a"});
  std::atomic<int> lookups = 0;
  options.addresses.resolve =
      [&lookups](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    return ++lookups % 2 == 0 ? std::vector<std::string>{} : std::vector<std::string>{"1:1"};
  };
  WorkerDiscovery discovery(options, &network);
  network.AwaitMissing(0);
  while (lookups < 20) network.AwaitLooks(1);
  EXPECT_FALSE(network.gone("1:1"));
  EXPECT_TRUE(discovery.readiness().ok());
}

TEST(WorkerDiscoveryTest, AWorkerIsLostAndComesBackWhileANameServerTakesItsTime) {
  FakeExpertNetwork network;
  network.StartWorker("1:1", 0, 3);
  WorkerDiscoveryOptions options = network.Options({"a"});
  std::promise<void> answer;
  int lookups = 0;  // lookups' thread only
  options.addresses.resolve = [&, answered = answer.get_future().share()](
                                  const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    if (++lookups > 1) answered.wait();
    return std::vector<std::string>{"1:1"};
  };
  WorkerDiscovery discovery(options, &network);
  network.AwaitMissing(0);
  network.StopWorker("1:1");
  network.AwaitMissing(kLayers * kExperts);
  network.StartWorker("1:1", 0, 3);
  network.AwaitMissing(0);
  answer.set_value();
}

TEST(WorkerDiscoveryTest, WorkerThatLeavesIsKeptUntilItsLastAnswer) {
  FakeExpertNetwork network;
  network.SetName("1:1", {"1:1"});
  network.SetList({"1:1"});
  network.StartWorker("1:1", 0, 3);
  WorkerDiscovery discovery(network.Listed(), &network);
  network.AwaitMissing(0);
  std::shared_ptr<ExpertClient> in_flight = discovery.placement()->Replicas(0, 0).front();
  network.SetList({});
  network.AwaitMissing(kLayers * kExperts);
  network.AwaitLooks(5);
  EXPECT_FALSE(network.gone("1:1"));
  ASSERT_EQ(discovery.workers().size(), 1u);
  EXPECT_EQ(discovery.workers().front().state, WorkerState::kDraining);
  in_flight = nullptr;
  network.AwaitGone("1:1");
  EXPECT_TRUE(discovery.workers().empty());
}

TEST(WorkerDiscoveryTest, WorkerThatTheListAddsServesWithoutARestart) {
  FakeExpertNetwork network;
  network.SetName("1:1", {"1:1"});
  network.StartWorker("1:1", 0, 3);
  WorkerDiscovery discovery(network.Listed(), &network);
  network.AwaitMissing(kLayers * kExperts);
  network.SetList({"1:1"});
  network.AwaitMissing(0);
}

TEST(ParseWorkerListTest, TakesAddressesSeparatedByCommas) {
  EXPECT_THAT(*ParseWorkerList("127.0.0.1:1, workers:50061 ,[::1]:3", "expert_workers"),
              ElementsAre("127.0.0.1:1", "workers:50061", "[::1]:3"));
}

TEST(ParseWorkerListTest, NamesThePartThatIsNoAddress) {
  for (const char* bad : {"127.0.0.1", "127.0.0.1:0", "a:b", "host:70000"}) {
    const auto parsed = ParseWorkerList(std::string("ok:1,") + bad, "expert_workers");
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(bad));
  }
  EXPECT_FALSE(ParseWorkerList("", "expert_workers").ok());
  EXPECT_FALSE(ParseWorkerList(" , ", "expert_workers").ok());
}

TEST(ResolveTargetTest, AddressResolvesToItself) {
  EXPECT_THAT(*ResolveTarget("127.0.0.1:50061"), ElementsAre("127.0.0.1:50061"));
  EXPECT_THAT(*ResolveTarget("[::1]:50061"), ElementsAre("[::1]:50061"));
}

TEST(ResolveTargetTest, NameThatDoesNotExistIsUnavailable) {
  const auto resolved = ResolveTarget("no-such-host.invalid:1");  // reserved by RFC 2606
  EXPECT_EQ(resolved.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(resolved.status().message()), HasSubstr("no-such-host.invalid:1"));
}

}  // namespace
}  // namespace tramontane
