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
#include "attention_worker/grpc/worker_addresses.h"
#include "attention_worker/grpc/worker_connection.h"
#include "attention_worker/grpc/worker_lookups.h"
#include "attention_worker/replica_backends.h"

namespace tramontane {

struct WorkerDiscoveryOptions {
  WorkerAddressOptions addresses;
  int num_layers = 0;
  int num_experts = 0;
  WorkerReturnOptions worker_return;
  ConnectFunction connect;
  ProbeFunction probe;                // null: workers are used without
  bool allow_mixed_backends = false;  // else a worker that ReplicaBackends refuses is not used
};

// What discovery tells whoever listens. One call at a time, from any thread; of the
// discovery it may call placement() and readiness() only.
class DiscoveryObserver {
 public:
  virtual ~DiscoveryObserver() = default;
  virtual void OnWorker(const WorkerSnapshot& /*worker*/) {}
  virtual void OnWorkerGone(const std::string& /*address*/) {}
  // After every look.
  virtual void OnPlacement(const ExpertPlacement& /*placement*/) {}
};

// Resolves the targets again and again, keeps a connection to every address, and publishes who
// hosts what. The worker of an address that is no longer named gets no new work; its connection is
// closed when what is in flight has ended, which the deadlines of batches bound. A name that does
// not resolve keeps what it had. Thread-safe.
class WorkerDiscovery : public ExpertDirectory {
 public:
  // `observer` outlives the discovery.
  WorkerDiscovery(WorkerDiscoveryOptions options, DiscoveryObserver* observer);
  ~WorkerDiscovery() override;

  std::shared_ptr<const ExpertPlacement> placement() const override;
  std::shared_ptr<const ExpertPlacement> AwaitChange(
      const std::shared_ptr<const ExpertPlacement>& seen, absl::Time deadline) const override;
  void SetAside(const std::shared_ptr<ExpertClient>& client, const absl::Status& reason) override;
  // OK where every (layer, expert) has a worker; else UNAVAILABLE naming those that have none, and
  // why addresses are not connected.
  absl::Status readiness() const;
  // Every worker that is known, by address; those that leave last.
  std::vector<WorkerSnapshot> workers() const;
  // Waits until every address that is known has been tried once; false where `timeout` (finite)
  // passes first.
  bool AwaitFirstAttempts(absl::Duration timeout) const;

 private:
  // A connection that is no longer named, and what it still has in flight.
  struct Leaving {
    std::unique_ptr<WorkerConnection> connection;  // stopped
    WorkerSnapshot last;                           // without its client
    std::weak_ptr<ExpertClient> client;            // gone once nothing is in flight
  };

  void Loop();
  // Has the thread look at once.
  void NoteChange();
  std::unique_ptr<WorkerConnection> Connect(const std::string& address);
  // The options' functions, and what replica_backends_ says.
  ConnectFunction ConnectUnlessMixed();
  ProbeFunction ProbeAndClaim();
  void UpdateConnections(const std::set<std::string>& addresses);
  void ForgetLeft();
  void Rebuild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(membership_mutex_);
  // Publishes `placement` unless it is the one that is there.
  void Publish(std::shared_ptr<const ExpertPlacement> placement, std::vector<std::string> troubles);

  const WorkerDiscoveryOptions options_;
  DiscoveryObserver* const observer_;

  // Held while the observer is called; before mutex_ where both are needed.
  mutable std::mutex membership_mutex_;
  std::map<std::string, std::unique_ptr<WorkerConnection>> connections_
      ABSL_GUARDED_BY(membership_mutex_);
  ReplicaBackends replica_backends_;
  std::vector<Leaving> leaving_ ABSL_GUARDED_BY(membership_mutex_);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  mutable std::condition_variable attempted_;
  mutable std::condition_variable placement_changed_;
  std::shared_ptr<const ExpertPlacement> placement_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> troubles_ ABSL_GUARDED_BY(mutex_);  // why addresses are not there
  std::map<std::string, std::string> unresolved_ ABSL_GUARDED_BY(mutex_);  // by target: why
  bool all_attempted_ ABSL_GUARDED_BY(mutex_) = false;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;  // of addresses or connections
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  WorkerLookups lookups_;  // calls NoteChange
  std::thread thread_;     // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DISCOVERY_H_
