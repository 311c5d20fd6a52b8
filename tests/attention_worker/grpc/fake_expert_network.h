// Expert workers without processes or names: what discovery finds is what a test has set up.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_FAKE_EXPERT_NETWORK_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_FAKE_EXPERT_NETWORK_H_

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "attention_worker/grpc/worker_discovery.h"

namespace tramontane {

inline constexpr int kLayers = 2;
inline constexpr int kExperts = 4;

class StubExpertClient : public ExpertClient {
 public:
  StubExpertClient(std::string address, int first, int last, std::string backend)
      : address_(std::move(address)) {
    description_.backend = std::move(backend);
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
class FakeExpertNetwork : public DiscoveryObserver {
 public:
  void SetName(const std::string& name, std::vector<std::string> addresses) {
    const std::lock_guard<std::mutex> lock(mutex_);
    names_[name] = std::move(addresses);
  }
  void StartWorker(const std::string& address, int first, int last,
                   const std::string& backend = "cpu") {
    const std::lock_guard<std::mutex> lock(mutex_);
    workers_[address] = {first, last, backend};
  }
  // Names that a watched list gives; `Options` leaves them out, `Listed` does not.
  void SetList(std::vector<std::string> targets) {
    const std::lock_guard<std::mutex> lock(mutex_);
    listed_ = std::move(targets);
  }
  // From now on, how a worker answers its probes.
  void AnswerProbes(const std::string& address, absl::Status answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    probe_answers_[address] = std::move(answer);
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
    options.addresses.targets = std::move(targets);
    options.num_layers = kLayers;
    options.num_experts = kExperts;
    options.addresses.resolve_interval = absl::Milliseconds(1);
    options.addresses.list_interval = absl::Milliseconds(1);
    options.worker_return.reconnect = {absl::Milliseconds(1), absl::Milliseconds(4)};
    options.worker_return.set_aside = options.worker_return.reconnect;
    options.addresses.resolve = [this](const std::string& name) { return Resolve(name); };
    options.connect = [this](const std::string& address,
                             std::function<void(const absl::Status&)> on_disconnect) {
      return Connect(address, std::move(on_disconnect));
    };
    options.probe = [this](const std::shared_ptr<ExpertClient>& client, int wrong_answers) {
      const std::lock_guard<std::mutex> lock(mutex_);
      wrong_answers_[client->address()] = wrong_answers;
      changed_.notify_all();
      return probe_answers_[client->address()];
    };
    return options;
  }
  WorkerDiscoveryOptions Listed() {
    WorkerDiscoveryOptions options = Options({});
    options.addresses.listed = [this] {
      const std::lock_guard<std::mutex> lock(mutex_);
      return listed_;
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

  // Waits until discovery has looked so often again.
  void AwaitLooks(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    const int64_t enough = num_looks_ + count;
    changed_.wait(lock, [&] { return num_looks_ >= enough; });
  }
  bool gone(const std::string& address) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return gone_.count(address) != 0;
  }
  // Waits until discovery has reported the worker in this state; returns what it reported.
  WorkerSnapshot AwaitState(const std::string& address, WorkerState state) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(
        lock, [&] { return reported_.count(address) != 0 && reported_[address].state == state; });
    return reported_[address];
  }
  // Waits until a probe says that the worker has answered wrongly so often.
  void AwaitWrongAnswers(const std::string& address, int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return wrong_answers_[address] >= count; });
  }

  void OnWorker(const WorkerSnapshot& worker) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    reported_[worker.address] = worker;
    reported_[worker.address].client = nullptr;
    changed_.notify_all();
  }
  void OnWorkerGone(const std::string& address) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    gone_.insert(address);
    changed_.notify_all();
  }
  void OnPlacement(const ExpertPlacement& placement) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_looks_;
    num_missing_ = std::count_if(placement.replicas.begin(), placement.replicas.end(),
                                 [](const auto& replicas) { return replicas.empty(); });
    changed_.notify_all();
  }

 private:
  struct Worker {
    int first, last;
    std::string backend;
  };

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
    return std::shared_ptr<ExpertClient>(std::make_shared<StubExpertClient>(
        address, found->second.first, found->second.last, found->second.backend));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::string>> names_;
  std::map<std::string, Worker> workers_;
  std::map<std::string, std::string> refusals_;
  std::map<std::string, std::function<void(const absl::Status&)>> on_disconnect_;
  std::vector<std::string> listed_;
  std::map<std::string, absl::Status> probe_answers_;
  std::map<std::string, int> wrong_answers_;
  std::map<std::string, WorkerSnapshot> reported_;
  std::set<std::string> gone_;
  int64_t num_missing_ = -1;
  int64_t num_looks_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_FAKE_EXPERT_NETWORK_H_
