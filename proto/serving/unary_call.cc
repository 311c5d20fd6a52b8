#include "proto/serving/unary_call.h"

#include <utility>

#include "proto/wire/status.h"

namespace tramontane {
namespace {

class UnaryCall final : public CallReactor {
 public:
  using Handle = std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer&)>;

  explicit UnaryCall(Handle handle) : handle_(std::move(handle)) { StartRead(&request_); }

  // Also where there is none: the peer may have closed its side, and waits for an answer.
  void OnReadDone(bool /*ok*/) override {
    absl::StatusOr<grpc::ByteBuffer> response = handle_(request_);
    if (!response.ok()) return Finish(ToGrpcStatus(response.status()));
    response_ = *std::move(response);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  const Handle handle_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

CallReactor* AnswerOnce(
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer& request)> handle) {
  return new UnaryCall(std::move(handle));
}

}  // namespace tramontane
