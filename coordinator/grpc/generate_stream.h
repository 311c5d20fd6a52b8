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
#include "absl/time/time.h"
#include "coordinator/grpc/api_access.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/token_stream.h"
#include "proto/serving/task_thread.h"

namespace tramontane {

// Writes the outputs of a token stream to the client, one message in flight at a time; what comes
// meanwhile goes into the next. A cancelled or expired call cancels the token stream at once. Lives
// until gRPC is done with the call. Thread-safe.
class GenerateStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  struct Options {
    int num_choices = 0;                 // num_layers * top_k: one token's routing
    int64_t tokens_per_message = 1024;   // about the most; what lags goes into one message
    absl::Duration slow_client_timeout;  // for taking the last messages
    ApiPermit permit;                    // until the end is handed to gRPC
  };

  // `delivery` and `metrics` outlive the call.
  static GenerateStream* Start(grpc::CallbackServerContext* context,
                               std::shared_ptr<TokenStream> tokens, TaskThread* delivery,
                               CoordinatorMetrics* metrics, const Options& options);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  GenerateStream(grpc::CallbackServerContext* context, std::shared_ptr<TokenStream> tokens,
                 CoordinatorMetrics* metrics, const Options& options);

  // Starts the next write, or the end, where none is in flight. Calls gRPC without the lock.
  void Advance();
  void LimitTimeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CallbackServerContext* const context_;
  const std::shared_ptr<TokenStream> tokens_;
  CoordinatorMetrics* const metrics_;
  Options options_;
  std::atomic<bool> posted_{false};  // a task of the delivery thread will Advance

  grpc::ByteBuffer message_;  // of the write in flight: a GenerateResponse

  std::mutex mutex_;
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
