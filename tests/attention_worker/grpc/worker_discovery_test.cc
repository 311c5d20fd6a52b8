#include "attention_worker/grpc/worker_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "attention_worker/grpc/address_resolver.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kLayers = 2;
constexpr int kExperts = 4;

class StubExpertClient : public ExpertClient {
 public:
  StubExpertClient(std::string address, int first, int last) : address_(std::move(address)) {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int expert = first; expert <= last; ++expert) {
        description_.experts.push_back({layer, expert});
      }
    }
  }
  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  void Execute(ExpertBatch, Done done) override { done(absl::UnimplementedError("a stub")); }

 private:
  const std::string address_;
  ExpertWorkerDescription description_;
};

// Names, addresses and workers that a test sets up; awaits what discovery makes of them.
class FakeNetwork : public DiscoveryObserver {
 public:
  void SetName(const std::string& name, std::vector<std::string> addresses) {
    const std::lock_guard<std::mutex> lock(mutex_);
    names_[name] = std::move(addresses);
  }
  void StartWorker(const std::string& address, int first, int last) {
    const std::lock_guard<std::mutex> lock(mutex_);
    workers_[address] = {first, last};
  }
  void Refuse(const std::string& address, const std::string& why) {
    const std::lock_guard<std::mutex> lock(mutex_);
    refusals_[address] = why;
  }
  void StopWorker(const std::string& address) {
    std::function<void(const absl::Status&)> on_disconnect;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      workers_.erase(address);
      on_disconnect = std::exchange(on_disconnect_[address], nullptr);
    }
    if (on_disconnect) on_disconnect(absl::UnavailableError("the worker died"));
  }

  WorkerDiscoveryOptions Options(std::vector<std::string> targets) {
    WorkerDiscoveryOptions options;
    options.targets = std::move(targets);
    options.num_layers = kLayers;
    options.num_experts = kExperts;
    options.resolve_interval = absl::Milliseconds(1);
    options.reconnect = {absl::Milliseconds(1), absl::Milliseconds(4)};
    options.resolve = [this](const std::string& name) { return Resolve(name); };
    options.connect = [this](const std::string& address,
                             std::function<void(const absl::Status&)> on_disconnect) {
      return Connect(address, std::move(on_disconnect));
    };
    return options;
  }

  // Waits until so many experts lack a worker.
  void AwaitMissing(int64_t num_missing) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return num_missing_ == num_missing; });
  }
  void AwaitGone(const std::string& address) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return gone_.count(address) != 0; });
  }

  void OnWorkerGone(const std::string& address) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    gone_.insert(address);
    changed_.notify_all();
  }
  void OnPlacement(int64_t num_missing) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    num_missing_ = num_missing;
    changed_.notify_all();
  }

 private:
  absl::StatusOr<std::vector<std::string>> Resolve(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = names_.find(name);
    if (found == names_.end()) return absl::UnavailableError(name + " does not resolve");
    return found->second;
  }
  absl::StatusOr<std::shared_ptr<ExpertClient>> Connect(
      const std::string& address, std::function<void(const absl::Status&)> on_disconnect) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto refusal = refusals_.find(address); refusal != refusals_.end()) {
      return absl::FailedPreconditionError(refusal->second);
    }
    const auto found = workers_.find(address);
    if (found == workers_.end()) return absl::UnavailableError("nobody answers");
    on_disconnect_[address] = std::move(on_disconnect);
    return std::shared_ptr<ExpertClient>(
        std::make_shared<StubExpertClient>(address, found->second.first, found->second.second));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::string>> names_;
  std::map<std::string, std::pair<int, int>> workers_;
  std::map<std::string, std::string> refusals_;
  std::map<std::string, std::function<void(const absl::Status&)>> on_disconnect_;
  std::set<std::string> gone_;
  int64_t num_missing_ = -1;
};

TEST(WorkerDiscoveryTest, IsReadyOnceEveryExpertHasAWorker) {
  FakeNetwork network;
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
  FakeNetwork network;
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
  FakeNetwork network;
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
  FakeNetwork network;
  network.SetName("a", {"1:1"});
  network.Refuse("1:1", "expected digest abc, found digest def");
  WorkerDiscovery discovery(network.Options({"a"}), &network);
  EXPECT_TRUE(discovery.AwaitFirstAttempts(absl::Minutes(1)));
  EXPECT_THAT(std::string(discovery.readiness().message()),
              AllOf(HasSubstr("1:1"), HasSubstr("digest abc"), HasSubstr("digest def")));
}

TEST(WorkerDiscoveryTest, NameThatDoesNotResolveIsInTheReason) {
  FakeNetwork network;
  WorkerDiscovery discovery(network.Options({"nowhere:1"}), &network);
  network.AwaitMissing(kLayers * kExperts);
  EXPECT_THAT(std::string(discovery.readiness().message()),
              HasSubstr("nowhere:1 does not resolve"));
}

TEST(WorkerDiscoveryTest, AddressThatLeavesItsNameIsForgottenOnceItIsNotConnected) {
  FakeNetwork network;
  network.SetName("a", {"1:1", "2:2"});
  network.StartWorker("1:1", 0, 3);
  WorkerDiscovery discovery(network.Options({"a"}), &network);
  network.AwaitMissing(0);
  network.SetName("a", {});
  network.AwaitGone("2:2");
  EXPECT_TRUE(discovery.readiness().ok()) << "what is connected stays";
  network.StopWorker("1:1");
  network.AwaitGone("1:1");
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
