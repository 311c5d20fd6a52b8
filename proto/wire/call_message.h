// Protobuf messages of calls, where bytes that are no such message get an answer.
//
// gRPC's typed handlers never see a request that does not parse: a call ends with UNIMPLEMENTED,
// and a stream looks as if its peer had closed it. Methods therefore have bytes: they are
// registered raw (WithRawCallbackMethod_…), or are a CallLoop's; and these turn bytes into messages
// and back.
#ifndef TRAMONTANE_PROTO_WIRE_CALL_MESSAGE_H_
#define TRAMONTANE_PROTO_WIRE_CALL_MESSAGE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>

#include "absl/status/status.h"
#include "proto/wire/status.h"

namespace tramontane {

// INVALID_ARGUMENT, naming the message, where `bytes` are not one.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

// The buffer refers to memory of its own.
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// INVALID_ARGUMENT where `bytes` are no Request, else what `handle` says; its response is `answer`.
template <typename Request, typename Response>
absl::Status AnswerMessage(
    const grpc::ByteBuffer& bytes, grpc::ByteBuffer* answer,
    const std::function<absl::Status(const Request& request, Response* response)>& handle) {
  Request request;
  absl::Status status = ParseMessage(bytes, &request);
  Response response;
  if (status.ok()) status = handle(request, &response);
  if (status.ok()) *answer = SerializeMessage(response);
  return status;
}

// Answers a unary call at once: with `admitted` where that is not OK, with INVALID_ARGUMENT where
// `bytes` are no Request, else with what `handle` says.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* AnswerUnary(
    grpc::CallbackServerContext* context, absl::Status admitted, const grpc::ByteBuffer* bytes,
    grpc::ByteBuffer* answer,
    const std::function<absl::Status(const Request& request, Response* response)>& handle) {
  if (admitted.ok()) admitted = AnswerMessage<Request, Response>(*bytes, answer, handle);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(admitted));
  return reactor;
}

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_CALL_MESSAGE_H_
