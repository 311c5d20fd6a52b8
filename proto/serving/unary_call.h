// Calls of a CallLoop that have one message each way.
#ifndef TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_
#define TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/serving/call_loop.h"
#include "proto/serving/task_thread.h"
#include "proto/wire/call_message.h"

namespace tramontane {

// A reactor that reads a message, answers it with what `handle` says, and deletes itself. The bytes
// are not valid where the peer sent none. `thread`, which outlives the loop, is where `handle`
// runs; null: the loop's, which must not wait for anything.
CallReactor* AnswerOnce(
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer& request)> handle,
    TaskThread* thread = nullptr);

// The method at `path` that does so with messages; bytes that are no Request are answered with
// INVALID_ARGUMENT.
template <typename Request, typename Response>
LoopMethod UnaryMethod(std::string path, std::function<Response(const Request& request)> handle,
                       TaskThread* thread = nullptr) {
  const auto answer = [handle = std::move(handle)](
                          const grpc::ByteBuffer& bytes) -> absl::StatusOr<grpc::ByteBuffer> {
    Request request;
    const absl::Status parsed = ParseMessage(bytes, &request);
    if (!parsed.ok()) return parsed;
    return SerializeMessage(handle(request));
  };
  return {std::move(path),
          [answer, thread](grpc::ServerContext*) { return AnswerOnce(answer, thread); }};
}

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_
