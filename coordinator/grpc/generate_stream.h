// The server's side of one Generate call.
#ifndef TRAMONTANE_COORDINATOR_GRPC_GENERATE_STREAM_H_
#define TRAMONTANE_COORDINATOR_GRPC_GENERATE_STREAM_H_

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/grpc/api_access.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/token_stream.h"
#include "proto/serving/task_thread.h"

namespace tramontane {

// Writes the outputs of a token stream to the client, one message in flight at a time; what comes
// meanwhile goes into the next. A cancelled or expired call cancels the token stream at once, or as
// soon as there is one. Lives until gRPC is done with the call. Thread-safe.
class GenerateStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  struct Options {
    int num_choices = 0;                 // num_layers * top_k: one token's routing
    absl::Duration slow_client_timeout;  // for taking the last messages
    ApiPermit permit;                    // until the end is handed to gRPC
    absl::Time deadline;                 // the client's
  };

  // `delivery` and `metrics` outlive the call.
  static std::shared_ptr<GenerateStream> Start(grpc::CallbackServerContext* context,
                                               TaskThread* delivery, CoordinatorMetrics* metrics,
                                               const Options& options);

  // Once: what there is to write, or why there is nothing. `tokens_per_message` is about the most;
  // what lags goes into one message.
  void Begin(absl::StatusOr<std::shared_ptr<TokenStream>> tokens, int64_t tokens_per_message);
  // Why nothing is wanted any more: the client has gone, or its deadline has passed.
  std::optional<absl::Status> cancelled() const;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  GenerateStream(grpc::CallbackServerContext* context, TaskThread* delivery,
                 CoordinatorMetrics* metrics, const Options& options);

  // Starts the next write, or the end, where none is in flight. Calls gRPC without the lock.
  void Advance();
  // Counts, gives the permit back, and says when to come again.
  void BeforeEnd(const absl::Status& status);
  // Without a message.
  void End(const absl::Status& status);
  void CancelTokens(const absl::Status& status);
  void LimitTimeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CallbackServerContext* const context_;
  TaskThread* const delivery_;
  CoordinatorMetrics* const metrics_;
  Options options_;
  std::atomic<bool> posted_{false};  // a task of the delivery thread will Advance

  grpc::ByteBuffer message_;  // of the write in flight: a GenerateResponse

  mutable std::mutex mutex_;
  std::shared_ptr<TokenStream> tokens_ ABSL_GUARDED_BY(mutex_);  // from Begin on
  int64_t tokens_per_message_ ABSL_GUARDED_BY(mutex_) = 1;       // likewise
  std::optional<absl::Status> cancelled_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;            // the end was handed to gRPC
  bool done_ ABSL_GUARDED_BY(mutex_) = false;                // context_ must not be used any more
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);  // after the write in flight
  std::unique_ptr<grpc::Alarm> time_limit_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<GenerateStream> self_ ABSL_GUARDED_BY(mutex_);  // until OnDone
};

// Ends a call that never started.
class RefusedStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const absl::Status& status);
  void OnDone() override { delete this; }
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_GENERATE_STREAM_H_
