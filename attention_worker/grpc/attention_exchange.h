// Requests to one attention worker and its answers, over one stream.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_EXCHANGE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_EXCHANGE_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/grpc/message_stream.h"
#include "attention_worker/grpc/stream_pump.h"
#include "proto/attention.pb.h"

namespace tramontane {

// Thread-safe; one Call at a time. Every status names the worker.
class AttentionExchange : public std::enable_shared_from_this<AttentionExchange> {
 public:
  // Opens the stream. `on_change` is called by whoever polls the pump, without locks, whenever
  // readiness() may have changed; it must neither block nor destroy anything of gRPC's. The pump
  // outlives AwaitEnd.
  static std::shared_ptr<AttentionExchange> Open(StreamPump* pump, const std::string& address,
                                                 std::shared_ptr<grpc::Channel> channel,
                                                 std::function<void()> on_change);

  // Sends `request` with an id of its own and waits for the answer, which has status_code 0. Else
  // the status that the worker answered with; UNAVAILABLE where the stream has ended, or where
  // there is no answer within `timeout` (finite), which ends it.
  absl::StatusOr<v1::AttentionAnswer> Call(v1::AttentionRequest request, absl::Duration timeout);

  // Calls are given up, and the stream with them, once `end` has passed; also one that waits.
  void EndCallsBy(absl::Time end);

  // The stream has ended, or is given up: every sequence that the worker was given is lost.
  bool lost() const;
  // OK while the worker can take sequences; else UNAVAILABLE saying why not.
  absl::Status readiness() const;
  bool draining() const;  // the worker says that it shuts down
  // As of the last answer; absent before the first.
  std::optional<KvCacheUsage> kv_cache_usage() const;

  void Close();
  // Waits for the end of the stream, lets its connection go, and returns why it ended. Not to be
  // called from on_change, or from any event of the pump's.
  absl::Status AwaitEnd();

 private:
  AttentionExchange(std::string address, std::function<void()> on_change);

  void OnMessage(grpc::ByteBuffer buffer);
  void OnClosed(const absl::Status& status, std::shared_ptr<grpc::Channel> channel);
  // False where the message is none that the protocol knows.
  bool TakeAnswer(v1::AttentionAnswer answer);
  // Gives the stream up for `reason`, unless it has ended already.
  void GiveUp(const absl::Status& reason);
  absl::Status Named(const absl::Status& status) const;

  const std::string address_;
  const std::function<void()> on_change_;
  std::shared_ptr<MessageStream> stream_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // of anything below
  uint64_t last_request_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<v1::AttentionAnswer> answer_ ABSL_GUARDED_BY(mutex_);  // to last_request_id_
  absl::Time calls_end_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  std::optional<KvCacheUsage> usage_ ABSL_GUARDED_BY(mutex_);
  v1::WorkerState state_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> lost_ ABSL_GUARDED_BY(mutex_);  // why
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Channel> closed_channel_ ABSL_GUARDED_BY(mutex_);  // for AwaitEnd to let go
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_EXCHANGE_H_
