#include "tests/hostile/hostile_call.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <future>
#include <utility>

namespace tramontane {
namespace {

// Deletes itself.
class HostileCall final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  HostileCall(const std::shared_ptr<grpc::Channel>& channel, const CallScript& script,
              std::function<void(const grpc::Status&)> done)
      : script_(script), done_(std::move(done)), stub_(channel) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          absl::ToChronoMicroseconds(script.deadline));
    if (script.compressed) context_.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    stub_.PrepareBidiStreamingCall(&context_, script_.path, grpc::StubOptions(), this);
    StartRead(&incoming_);
    SendNext();
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (++num_answers_ == script_.cancel_after) context_.TryCancel();
    StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) SendNext();
  }
  void OnDone(const grpc::Status& status) override {
    const std::function<void(const grpc::Status&)> done = std::move(done_);
    const grpc::Status end = status;
    delete this;  // first, so that whoever waits for the end may let the channel go
    done(end);
  }

 private:
  void SendNext() {
    if (num_sent_ < script_.messages.size()) {
      const grpc::Slice slice(script_.messages[num_sent_++]);
      outgoing_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&outgoing_);
      return;
    }
    if (script_.half_close) StartWritesDone();
    if (script_.cancel_after == 0) context_.TryCancel();
  }

  const CallScript script_;
  std::function<void(const grpc::Status&)> done_;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;  // belongs to the read in progress
  grpc::ByteBuffer outgoing_;  // belongs to the write in progress
  size_t num_sent_ = 0;
  int num_answers_ = 0;
};

}  // namespace

void StartCall(const std::shared_ptr<grpc::Channel>& channel, const CallScript& script,
               std::function<void(const grpc::Status& status)> done) {
  new HostileCall(channel, script, std::move(done));
}

grpc::Status EndOfCall(const std::shared_ptr<grpc::Channel>& channel, const CallScript& script) {
  std::promise<grpc::Status> end;
  StartCall(channel, script, [&end](const grpc::Status& status) { end.set_value(status); });
  return end.get_future().get();
}

bool MayEnd(const CallScript& script, const grpc::Status& status) {
  const bool cancels = script.cancel_after >= 0;
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
      return cancels;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return script.may_outlive_deadline || !script.half_close;
    case grpc::StatusCode::INTERNAL:
      return script.may_be_internal;
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return false;
    default:
      break;
  }
  if (script.must_be_invalid) return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT;
  const bool unimplemented = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  return unimplemented == script.must_be_unimplemented;
}

}  // namespace tramontane
