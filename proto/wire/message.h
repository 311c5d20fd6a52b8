// Wire messages as gRPC byte buffers, without a copy of the payload in either direction.
//
// The streams carry raw byte buffers, not types with a grpc::SerializationTraits of their own: a
// trait that fails to deserialize ends the whole stream, but one malformed batch shall only fail
// itself.
#ifndef TRAMONTANE_PROTO_WIRE_MESSAGE_H_
#define TRAMONTANE_PROTO_WIRE_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "proto/wire/piece_reader.h"

namespace tramontane {

// The bytes of `header`, then those of `payload`. gRPC reads the payload where it is; `release` is
// called exactly once, from any thread (gRPC's own, with its locks held: it must neither block nor
// call gRPC), when it does so no more.
grpc::ByteBuffer MakeMessage(const std::string& header, std::span<const std::byte> payload,
                             std::function<void()> release);

// Keeps a received message alive and shows where its bytes lie.
class ReceivedMessage {
 public:
  explicit ReceivedMessage(const grpc::ByteBuffer& buffer);
  ReceivedMessage(const ReceivedMessage&) = delete;
  ReceivedMessage& operator=(const ReceivedMessage&) = delete;

  std::span<const Piece> pieces() const { return pieces_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<Piece> pieces_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_MESSAGE_H_
