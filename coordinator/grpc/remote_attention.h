// Attention workers in other processes (--attention_workers).
#ifndef TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_
#define TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_

#include <condition_variable>
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
#include "coordinator/grpc/coordinator_metrics.h"

namespace tramontane {

// Keeps a client to each address, and says whether any of them can take requests. Thread-safe.
class RemoteAttention {
 public:
  // `addresses`: HOST:PORT, each one worker. `options.on_change` is set here. `metrics` outlives
  // it. `on_ready` is called from a thread of its own after every change of a worker's readiness:
  // whether any is ready.
  RemoteAttention(const std::vector<std::string>& addresses, GrpcAttentionClientOptions options,
                  CoordinatorMetrics* metrics, std::function<void(bool ready)> on_ready);
  ~RemoteAttention();
  RemoteAttention(const RemoteAttention&) = delete;
  RemoteAttention& operator=(const RemoteAttention&) = delete;

  std::vector<AttentionClient*> clients() const;
  // Called, too, after every change; null: nobody. What was set before is not called any more once
  // this has returned.
  void set_wake(std::function<void()> wake);
  // OK where at least one worker is ready; else UNAVAILABLE saying of each why not.
  absl::Status readiness() const;
  // Waits until every worker has been tried once; false where `timeout` (finite) passes first.
  bool AwaitFirstAttempts(absl::Duration timeout) const;

 private:
  void Watch();
  // Warns of workers whose kernels are not those of the first.
  void CompareKernels();

  CoordinatorMetrics* const metrics_;
  std::map<std::string, std::string> warned_;  // kernels by address; thread_ only
  const std::function<void(bool)> on_ready_;

  std::mutex wake_mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(wake_mutex_);

  mutable std::mutex mutex_;
  mutable std::condition_variable condition_;  // of anything below
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool all_attempted_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::unique_ptr<GrpcAttentionClient>> clients_;  // constant once constructed
  std::thread thread_;                                         // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_REMOTE_ATTENTION_H_
