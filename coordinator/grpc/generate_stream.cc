#include "coordinator/grpc/generate_stream.h"

#include <grpc/support/time.h>
#include <grpcpp/support/status.h>

#include <utility>

#include "absl/time/time.h"
#include "coordinator/grpc/inference_messages.h"
#include "coordinator/grpc/retry_pushback.h"
#include "proto/wire/call_message.h"
#include "proto/wire/status.h"

namespace tramontane {

std::shared_ptr<GenerateStream> GenerateStream::Start(grpc::CallbackServerContext* context,
                                                      TaskThread* delivery,
                                                      CoordinatorMetrics* metrics,
                                                      const Options& options) {
  const std::shared_ptr<GenerateStream> call(
      new GenerateStream(context, delivery, metrics, options));
  const std::lock_guard<std::mutex> lock(call->mutex_);
  call->self_ = call;
  return call;
}

GenerateStream::GenerateStream(grpc::CallbackServerContext* context, TaskThread* delivery,
                               CoordinatorMetrics* metrics, const Options& options)
    : context_(context), delivery_(delivery), metrics_(metrics), options_(options) {}

void GenerateStream::Begin(absl::StatusOr<std::shared_ptr<TokenStream>> tokens,
                           int64_t tokens_per_message) {
  if (!tokens.ok()) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      finished_ = true;
    }
    End(tokens.status());
    return;
  }
  const std::shared_ptr<TokenStream> begun = *std::move(tokens);
  std::optional<absl::Status> cancelled;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tokens_ = begun;
    tokens_per_message_ = tokens_per_message;
    cancelled = cancelled_;
  }
  if (cancelled.has_value()) begun->Cancel(*cancelled);
  begun->SetReadyCallback([weak = weak_from_this(), delivery = delivery_] {
    const std::shared_ptr<GenerateStream> ready = weak.lock();
    if (ready == nullptr || ready->posted_.exchange(true)) return;
    delivery->Post([weak] {
      if (const std::shared_ptr<GenerateStream> next = weak.lock()) {
        next->posted_.store(false);
        next->Advance();
      }
    });
  });
}

std::optional<absl::Status> GenerateStream::cancelled() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return cancelled_;
}

void GenerateStream::Advance() {
  const std::shared_ptr<GenerateStream> keep_alive = weak_from_this().lock();
  bool write = false;
  std::optional<absl::Status> finish;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (finished_) return;
    if (writing_) {
      if (tokens_->ended()) LimitTimeLocked();
      return;
    }
    if (!end_.has_value()) {
      TokenStream::Batch batch = tokens_->Take(tokens_per_message_);
      end_ = std::move(batch.end);
      write = !batch.output.empty();
      if (write) message_ = SerializeMessage(ToMessage(batch.output, options_.num_choices));
    }
    // The last message takes the status along; a failure comes by itself after it.
    if (end_.has_value() && (!write || end_->ok())) finish = end_;
    if (!write && !finish.has_value()) return;
    if (end_.has_value()) LimitTimeLocked();
    writing_ = write;
    finished_ = finish.has_value();
  }
  if (!write) {
    End(*finish);
  } else if (finish.has_value()) {
    BeforeEnd(*finish);
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  } else {
    StartWrite(&message_);
  }
}

void GenerateStream::BeforeEnd(const absl::Status& status) {
  metrics_->CountRequest(status.code());
  options_.permit.Release();  // before the client can call again
  AddRetryPushback(context_, status);
}

void GenerateStream::End(const absl::Status& status) {
  BeforeEnd(status);
  Finish(ToGrpcStatus(status));
}

void GenerateStream::LimitTimeLocked() {
  if (time_limit_ != nullptr || options_.slow_client_timeout <= absl::ZeroDuration()) return;
  time_limit_ = std::make_unique<grpc::Alarm>();
  const gpr_timespec timeout =
      gpr_time_from_micros(absl::ToInt64Microseconds(options_.slow_client_timeout), GPR_TIMESPAN);
  time_limit_->Set(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), timeout),
                   [weak = weak_from_this()](bool expired) {
                     const std::shared_ptr<GenerateStream> call = weak.lock();
                     if (!expired || call == nullptr) return;
                     const std::lock_guard<std::mutex> lock(call->mutex_);
                     if (!call->done_) call->context_->TryCancel();
                   });
}

void GenerateStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
  }
  if (!ok) CancelTokens(absl::CancelledError("the client is gone"));
  Advance();
}

void GenerateStream::OnCancel() {
  const bool expired = options_.deadline <= absl::Now();
  CancelTokens(expired ? absl::DeadlineExceededError("the client's deadline passed")
                       : absl::CancelledError("the client cancelled the request"));
}

void GenerateStream::CancelTokens(const absl::Status& status) {
  std::shared_ptr<TokenStream> tokens;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = status;
    tokens = tokens_;
  }
  if (tokens != nullptr) tokens->Cancel(status);
}

void GenerateStream::OnDone() {
  std::shared_ptr<TokenStream> tokens;
  std::unique_ptr<grpc::Alarm> time_limit;
  std::shared_ptr<GenerateStream> self;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    time_limit.swap(time_limit_);
    self.swap(self_);
    tokens = tokens_;
  }
  if (tokens == nullptr) return;
  tokens->SetReadyCallback(nullptr);
  tokens->Cancel(absl::CancelledError("the call is over"));
}

RefusedStream::RefusedStream(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

}  // namespace tramontane
