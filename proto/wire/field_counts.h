// How often fields stand in the bytes of a message, before they are made one.
//
// Two bytes on the wire can be an element of a hundred in memory: what may be repeated only so
// often is counted where it costs nothing yet.
#ifndef TRAMONTANE_PROTO_WIRE_FIELD_COUNTS_H_
#define TRAMONTANE_PROTO_WIRE_FIELD_COUNTS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace tramontane {

struct FieldLimit {
  int number = 0;         // of a field of the message itself
  std::string_view name;  // for the error
  int64_t max_entries = 0;
};

// INVALID_ARGUMENT, "NAME has COUNT entries; expected at most LIMIT", for the first field that
// stands in `bytes` more often than `limits` allow. Numbers that are packed count once together. OK
// for bytes that are no message: ParseMessage says so.
absl::Status CheckFieldCounts(const grpc::ByteBuffer& bytes, std::span<const FieldLimit> limits);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_FIELD_COUNTS_H_
