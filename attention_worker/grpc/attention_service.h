// The gRPC face of an attention worker: proto/attention.proto.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SERVICE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SERVICE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/grpc/attention_session.h"
#include "attention_worker/grpc/attention_stream.h"
#include "model/config.h"
#include "proto/attention.grpc.pb.h"
#include "proto/serving/call_loop.h"
#include "proto/serving/task_thread.h"

namespace tramontane {

// ListenerOptions::min_ping_interval of a server with this service: its coordinator asks for signs
// of life often, to notice soon where there are none.
inline constexpr absl::Duration kAttentionPingInterval = absl::Milliseconds(200);

// What Describe tells of the worker beside the KV cache.
struct AttentionIdentity {
  std::string model_name;
  std::string digest;
  std::string compute_dtype;  // "bf16" or "f32", also the weights' format
  std::string backend;
  MixtralConfig config;
  int max_step_tokens = 0;
};

// One coordinator at a time drives the worker. Thread-safe. Outlives the server that its methods
// are of.
class AttentionService final : private AttentionStreamOwner {
 public:
  // `worker` outlives the service, which alone drives it.
  AttentionService(AttentionClient* worker, AttentionIdentity identity);

  // For Listener::StartLoop.
  std::vector<LoopMethod> Methods();

  // Which (layer, expert) have no expert worker, and why; empty where none is missing. The
  // coordinator is told of every change.
  void SetMissingExperts(const std::string& missing);

  // Tells the coordinator and takes no more sequences; returns once those that there are have left,
  // or at `deadline` (finite), with the stream ended or ending. A step that runs then is ended.
  void Drain(absl::Time deadline);

 private:
  // The coordinator that drives the worker; null without one.
  struct Driver {
    std::shared_ptr<AttentionStream> stream;
    std::shared_ptr<AttentionSession> session;  // the step thread's to use
    uint64_t coordinator_id = 0;
  };

  v1::DescribeAttentionWorkerResponse Describe() const;
  CallReactor* Run(const std::string& peer);
  void OnRequest(const std::shared_ptr<AttentionStream>& stream,
                 v1::AttentionRequest request) override;
  void OnEnd(const std::shared_ptr<AttentionStream>& stream) override;
  void Open(const std::shared_ptr<AttentionStream>& stream, const v1::AttentionRequest& request);
  // Makes the stream the driver, and returns its session; what drove before is put into `before`.
  absl::StatusOr<std::shared_ptr<AttentionSession>> TakeOver(
      const std::shared_ptr<AttentionStream>& stream, uint64_t coordinator_id,
      std::shared_ptr<AttentionStream>& before);
  // Has the driver's sequences released, before anything that the next driver asks for.
  void ReleaseDriver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After each task of the step thread.
  void NoteSequences(size_t num_sequences);
  absl::Status accepting() const;
  // Counts the change of state_ and returns who is to be told; null: nobody.
  std::shared_ptr<AttentionStream> StateChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  AttentionClient* const worker_;
  const AttentionIdentity identity_;

  mutable std::mutex mutex_;
  std::condition_variable sequences_changed_;
  v1::WorkerState state_ ABSL_GUARDED_BY(mutex_);
  Driver driver_ ABSL_GUARDED_BY(mutex_);
  size_t num_sequences_ ABSL_GUARDED_BY(mutex_) = 0;

  TaskThread step_thread_;  // last: its tasks use all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SERVICE_H_
