// Attention workers in other processes (--attention_workers, --attention_workers_file).
#ifndef TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_
#define TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/grpc_attention_client.h"
#include "attention_worker/grpc/worker_addresses.h"
#include "attention_worker/grpc/worker_lookups.h"
#include "attention_worker/worker_state.h"
#include "coordinator/grpc/attention_slot.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "proto/placement.pb.h"

namespace tramontane {

struct RemoteAttentionOptions {
  WorkerAddressOptions addresses;
  GrpcAttentionClientOptions client;  // of each; on_change is set by RemoteAttention
  // What the sequences of a worker that is not listed any more get to end there. Then they are
  // computed again elsewhere.
  absl::Duration leave_timeout = absl::Seconds(30);
};

// Keeps a client to each address that is listed now, and says whether any of them can take
// requests. A worker that comes takes a slot that is free, or a new one; so slots are as many as
// there ever were workers at once. Thread-safe.
class RemoteAttention {
 public:
  using AddFunction = std::function<void(AttentionClient*)>;

  // `metrics` outlives it. `on_ready` is called from a thread of its own after every change of a
  // worker's readiness: whether any is ready.
  RemoteAttention(RemoteAttentionOptions options, CoordinatorMetrics* metrics,
                  std::function<void(bool ready)> on_ready);
  ~RemoteAttention();
  RemoteAttention(const RemoteAttention&) = delete;
  RemoteAttention& operator=(const RemoteAttention&) = delete;

  // The slots that there are, at least one. They live as long as this object.
  std::vector<AttentionClient*> clients();
  // Called, too, after every change, and for each slot that clients() has not given yet; null:
  // nobody. What was set before is not called any more once this has returned.
  void set_scheduler(std::function<void()> wake, AddFunction add);
  // OK where at least one worker is ready; else UNAVAILABLE saying of each why not.
  absl::Status readiness() const;
  std::vector<v1::PlacedAttentionWorker> Placement() const;
  // Waits until every worker has been tried once; false where `timeout` (finite) passes first.
  bool AwaitFirstAttempts(absl::Duration timeout) const;

 private:
  // Of one worker, as it was at the last look.
  struct Noted {
    WorkerState state = WorkerState::kConnecting;
    absl::Time since;
    absl::Status last_error;
    absl::Time last_error_at;
  };

  // Those of slots that are not free.
  std::vector<std::shared_ptr<GrpcAttentionClient>> workers() const;
  AttentionSlot* FreeSlot();
  void UpdateWorkers(WorkerLookups::Found found);
  void FreeSlots();
  void Watch();
  // Has the thread look at once.
  void NoteChange();
  void NoteStates();
  // Looks at all workers and tells whoever wants to know.
  void Report();
  void TellScheduler();
  // Warns of workers whose kernels are not those of the first.
  void CompareKernels(const std::vector<std::shared_ptr<GrpcAttentionClient>>& workers);

  const RemoteAttentionOptions options_;
  CoordinatorMetrics* const metrics_;
  const std::function<void(bool)> on_ready_;
  // Of thread_ only.
  std::map<std::string, std::string> warned_;  // kernels by address
  bool was_ready_ = false;

  std::mutex scheduler_mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(scheduler_mutex_);
  AddFunction add_ ABSL_GUARDED_BY(scheduler_mutex_);
  size_t num_given_ ABSL_GUARDED_BY(scheduler_mutex_) = 0;  // slots that the scheduler knows

  mutable std::mutex mutex_;
  mutable std::condition_variable condition_;                                  // of anything below
  std::vector<std::unique_ptr<AttentionSlot>> slots_ ABSL_GUARDED_BY(mutex_);  // only grows
  std::map<const GrpcAttentionClient*, Noted> noted_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> unresolved_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool all_attempted_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  WorkerLookups lookups_;  // calls NoteChange
  std::thread thread_;     // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_
