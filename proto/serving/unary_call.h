// Calls of a CallLoop that have one message each way.
#ifndef TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_
#define TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>

#include "absl/status/statusor.h"
#include "proto/serving/call_loop.h"

namespace tramontane {

// A reactor that reads a message, answers it with what `handle` says, and deletes itself. The bytes
// are not valid where the peer sent none.
CallReactor* AnswerOnce(
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer& request)> handle);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_UNARY_CALL_H_
