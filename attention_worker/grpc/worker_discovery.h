// Which expert workers there are, and who hosts what.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DISCOVERY_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DISCOVERY_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/grpc/worker_connection.h"

namespace tramontane {

using ResolveFunction =
    std::function<absl::StatusOr<std::vector<std::string>>(const std::string& target)>;

struct WorkerDiscoveryOptions {
  std::vector<std::string> targets;  // HOST:PORT; each may resolve to several workers
  int num_layers = 0;
  int num_experts = 0;
  absl::Duration resolve_interval = absl::Seconds(3);
  ReconnectOptions reconnect;
  ResolveFunction resolve;
  ConnectFunction connect;
};

// What discovery tells whoever listens. Calls come from discovery's threads, one at a time.
class DiscoveryObserver {
 public:
  virtual ~DiscoveryObserver() = default;
  virtual void OnWorker(const std::string& /*address*/, bool /*connected*/) {}
  virtual void OnWorkerGone(const std::string& /*address*/) {}
  // After every change: how many (layer, expert) have no worker.
  virtual void OnPlacement(int64_t /*num_missing*/) {}
};

// Resolves the targets again and again, keeps a connection to every address, and publishes who
// hosts what. An address that a name no longer yields stays as long as it is connected, and is
// forgotten then; a name that does not resolve keeps what it had. Thread-safe.
class WorkerDiscovery : public ExpertDirectory {
 public:
  // `observer` outlives the discovery.
  WorkerDiscovery(WorkerDiscoveryOptions options, DiscoveryObserver* observer);
  ~WorkerDiscovery() override;

  std::shared_ptr<const ExpertPlacement> placement() const override;
  // OK where every (layer, expert) has a worker; else UNAVAILABLE naming those that have none, and
  // why addresses are not connected.
  absl::Status readiness() const;
  // Waits until every address that is known has been tried once; false where `timeout` (finite)
  // passes first.
  bool AwaitFirstAttempts(absl::Duration timeout) const;

 private:
  void Loop();
  void ResolveAll();
  void UpdateConnections(const std::set<std::string>& addresses);
  void Rebuild();

  const WorkerDiscoveryOptions options_;
  DiscoveryObserver* const observer_;
  std::map<std::string, std::set<std::string>> resolved_;                 // by target; thread_ only
  std::map<std::string, std::unique_ptr<WorkerConnection>> connections_;  // likewise

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  mutable std::condition_variable attempted_;
  std::shared_ptr<const ExpertPlacement> placement_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> troubles_ ABSL_GUARDED_BY(mutex_);  // why addresses are not there
  std::map<std::string, std::string> unresolved_ ABSL_GUARDED_BY(mutex_);  // by target: why
  bool all_attempted_ ABSL_GUARDED_BY(mutex_) = false;
  bool connection_changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DISCOVERY_H_
