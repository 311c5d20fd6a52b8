#include "proto/wire/call_message.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/strings/str_cat.h"

namespace tramontane {

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message* message) {
  grpc::ByteBuffer read = bytes;  // shares the slices; reading empties it
  const bool parsed =
      bytes.Valid() &&
      grpc::SerializationTraits<google::protobuf::Message>::Deserialize(&read, message).ok();
  if (parsed) return absl::OkStatus();
  const google::protobuf::Descriptor& expected = *message->GetDescriptor();
  const std::string found =
      bytes.Valid() ? absl::StrCat(bytes.Length(), " bytes do not parse") : "there are none";
  return absl::InvalidArgumentError(absl::StrCat(
      "the bytes sent are no ", expected.full_name(), ": ", found, "; expected that message as ",
      expected.file()->name(), " describes it, with strings in UTF-8"));
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  bool own_buffer = false;
  // Fails only beyond 2 GiB, which no message of ours comes near; it is empty then.
  static_cast<void>(grpc::SerializationTraits<google::protobuf::Message>::Serialize(message, &bytes,
                                                                                    &own_buffer));
  return bytes;
}

}  // namespace tramontane
