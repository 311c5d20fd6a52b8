#include "coordinator/grpc/generate_stream.h"

#include <grpcpp/support/status.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "coordinator/grpc/inference_messages.h"
#include "coordinator/grpc/retry_pushback.h"
#include "coordinator/retry_hint.h"
#include "proto/wire/call_message.h"
#include "proto/wire/status.h"

namespace tramontane {
GenerateStream* GenerateStream::Start(grpc::CallbackServerContext* context,
                                      std::shared_ptr<TokenStream> tokens, TaskThread* delivery,
                                      CoordinatorMetrics* metrics, const Options& options) {
  const std::shared_ptr<GenerateStream> call(
      new GenerateStream(context, std::move(tokens), metrics, options));
  {
    const std::lock_guard<std::mutex> lock(call->mutex_);
    call->self_ = call;
  }
  call->tokens_->SetReadyCallback([weak = std::weak_ptr<GenerateStream>(call), delivery] {
    const std::shared_ptr<GenerateStream> ready = weak.lock();
    if (ready == nullptr || ready->posted_.exchange(true)) return;
    delivery->Post([weak] {
      if (const std::shared_ptr<GenerateStream> next = weak.lock()) {
        next->posted_.store(false);
        next->Advance();
      }
    });
  });
  return call.get();
}

GenerateStream::GenerateStream(grpc::CallbackServerContext* context,
                               std::shared_ptr<TokenStream> tokens, CoordinatorMetrics* metrics,
                               const Options& options)
    : context_(context), tokens_(std::move(tokens)), metrics_(metrics), options_(options) {}

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
      TokenStream::Batch batch = tokens_->Take(options_.tokens_per_message);
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
  if (finish.has_value()) {
    metrics_->CountRequest(finish->code());
    options_.permit.Release();  // before the client can call again
    if (const auto retry_after = RetryAfterOf(*finish)) AddRetryPushback(context_, *retry_after);
  }
  if (write && finish.has_value()) {
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  } else if (write) {
    StartWrite(&message_);
  } else {
    Finish(ToGrpcStatus(*finish));
  }
}

void GenerateStream::LimitTimeLocked() {
  if (time_limit_ != nullptr || options_.slow_client_timeout <= absl::ZeroDuration()) return;
  time_limit_ = std::make_unique<grpc::Alarm>();
  time_limit_->Set(absl::ToChronoTime(absl::Now() + options_.slow_client_timeout),
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
  if (!ok) tokens_->Cancel(absl::CancelledError("the client is gone"));
  Advance();
}

void GenerateStream::OnCancel() {
  const bool expired = context_->deadline() <= std::chrono::system_clock::now();
  tokens_->Cancel(expired ? absl::DeadlineExceededError("the client's deadline passed")
                          : absl::CancelledError("the client cancelled the request"));
}

void GenerateStream::OnDone() {
  tokens_->SetReadyCallback(nullptr);
  tokens_->Cancel(absl::CancelledError("the call is over"));
  std::unique_ptr<grpc::Alarm> time_limit;
  std::shared_ptr<GenerateStream> self;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    time_limit.swap(time_limit_);
    self.swap(self_);
  }
}

RefusedStream::RefusedStream(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

}  // namespace tramontane
