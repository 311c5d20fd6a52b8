#include "proto/serving/unary_call.h"

#include <utility>

#include "proto/wire/status.h"

namespace tramontane {
namespace {

class UnaryCall final : public CallReactor {
 public:
  using Handle = std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer&)>;

  UnaryCall(Handle handle, TaskThread* thread) : handle_(std::move(handle)), thread_(thread) {
    StartRead(&request_);
  }

  // Also where there is none: the peer may have closed its side, and waits for an answer.
  void OnReadDone(bool /*ok*/) override {
    if (thread_ == nullptr) return Answer();
    thread_->Post([this] { Answer(); });
  }
  // After the answer, always.
  void OnDone() override { delete this; }

 private:
  void Answer() {
    absl::StatusOr<grpc::ByteBuffer> response = handle_(request_);
    if (!response.ok()) return Finish(ToGrpcStatus(response.status()));
    response_ = *std::move(response);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  const Handle handle_;
  TaskThread* const thread_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

CallReactor* AnswerOnce(
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer& request)> handle,
    TaskThread* thread) {
  return new UnaryCall(std::move(handle), thread);
}

}  // namespace tramontane
