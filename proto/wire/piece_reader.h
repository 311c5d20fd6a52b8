// Reads the protobuf wire format from memory in several pieces.
// Format: https://protobuf.dev/programming-guides/encoding/
#ifndef TRAMONTANE_PROTO_WIRE_PIECE_READER_H_
#define TRAMONTANE_PROTO_WIRE_PIECE_READER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace tramontane {

// A part of a message, as the network handed it over. Somebody else owns the bytes.
using Piece = std::span<const std::byte>;

enum class WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kGroupStart = 3,
  kGroupEnd = 4,
  kFixed32 = 5,
};

// A cursor that never leaves the message: what is not there is INVALID_ARGUMENT, whatever lengths
// the message claims. Not thread-safe.
class PieceReader {
 public:
  // `message` outlives the reader.
  explicit PieceReader(std::span<const Piece> message);

  size_t remaining() const { return remaining_; }  // bytes

  absl::Status ReadVarint(uint64_t* value);  // at most 10 bytes and 64 bits
  absl::Status ReadTag(uint32_t* field, WireType* type);
  // A length that the message has left to give.
  absl::Status ReadLength(size_t* length);
  absl::Status Skip(size_t length);
  // The value of a field nobody knows, after its tag; groups with what they hold.
  absl::Status SkipField(uint32_t field, WireType type);
  // Where the next `length` bytes lie, without copying them. Replaces *pieces.
  absl::Status Take(size_t length, std::vector<Piece>* pieces);

 private:
  bool NextByte(uint8_t* byte);
  void Settle();  // leaves finished and empty pieces behind
  absl::Status SkipGroup(uint32_t field);

  std::span<const Piece> message_;
  size_t piece_ = 0;
  size_t offset_ = 0;  // in message_[piece_]
  size_t remaining_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_PIECE_READER_H_
