#include "proto/wire/piece_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

// As protobuf's own parser limits nesting.
constexpr size_t kMaxGroupDepth = 100;
// Tags and lengths have 32 bits; protobuf refuses longer spellings of them, padded with zeros.
constexpr size_t kMaxShortVarintBytes = 5;

absl::Status Truncated(size_t wanted, size_t remaining) {
  return absl::InvalidArgumentError(absl::StrCat("the message is truncated: a field claims ",
                                                 wanted, " bytes, ", remaining, " are left"));
}

}  // namespace

PieceReader::PieceReader(std::span<const Piece> message) : message_(message) {
  for (const Piece& piece : message_) remaining_ += piece.size();
  Settle();
}

void PieceReader::Settle() {
  while (piece_ < message_.size() && offset_ == message_[piece_].size()) {
    ++piece_;
    offset_ = 0;
  }
}

bool PieceReader::NextByte(uint8_t* byte) {
  if (remaining_ == 0) return false;
  *byte = std::to_integer<uint8_t>(message_[piece_][offset_]);
  ++offset_;
  --remaining_;
  Settle();
  return true;
}

absl::Status PieceReader::ReadVarint(uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    uint8_t byte = 0;
    if (!NextByte(&byte)) return absl::InvalidArgumentError("the message ends inside a varint");
    if (shift == 63 && byte > 1) break;
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      *value = result;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError("a varint is longer than 64 bits");
}

absl::Status PieceReader::ReadTag(uint32_t* field, WireType* type) {
  uint64_t tag = 0;
  const size_t before = remaining_;
  if (absl::Status s = ReadVarint(&tag); !s.ok()) return s;
  if (before - remaining_ > kMaxShortVarintBytes || tag > UINT32_MAX || (tag >> 3) == 0 ||
      (tag & 7) > 5) {
    return absl::InvalidArgumentError(absl::StrCat(tag, " is no protobuf field tag"));
  }
  *field = static_cast<uint32_t>(tag >> 3);
  *type = static_cast<WireType>(tag & 7);
  return absl::OkStatus();
}

absl::Status PieceReader::ReadLength(size_t* length) {
  uint64_t value = 0;
  const size_t before = remaining_;
  if (absl::Status s = ReadVarint(&value); !s.ok()) return s;
  if (before - remaining_ > kMaxShortVarintBytes) {
    return absl::InvalidArgumentError("a length takes more than 5 bytes");
  }
  if (value > remaining_) return Truncated(value, remaining_);
  *length = static_cast<size_t>(value);
  return absl::OkStatus();
}

absl::Status PieceReader::Skip(size_t length) {
  if (length > remaining_) return Truncated(length, remaining_);
  remaining_ -= length;
  while (length > 0) {
    const size_t step = std::min(length, message_[piece_].size() - offset_);
    offset_ += step;
    length -= step;
    Settle();
  }
  return absl::OkStatus();
}

absl::Status PieceReader::Take(size_t length, std::vector<Piece>* pieces) {
  if (length > remaining_) return Truncated(length, remaining_);
  pieces->clear();
  remaining_ -= length;
  while (length > 0) {
    const Piece rest = message_[piece_].subspan(offset_);
    pieces->push_back(rest.first(std::min(length, rest.size())));
    offset_ += pieces->back().size();
    length -= pieces->back().size();
    Settle();
  }
  return absl::OkStatus();
}

absl::Status PieceReader::SkipField(uint32_t field, WireType type) {
  switch (type) {
    case WireType::kVarint: {
      uint64_t ignored = 0;
      return ReadVarint(&ignored);
    }
    case WireType::kFixed64:
      return Skip(8);
    case WireType::kLength: {
      size_t length = 0;
      if (absl::Status s = ReadLength(&length); !s.ok()) return s;
      return Skip(length);
    }
    case WireType::kGroupStart:
      return SkipGroup(field);
    case WireType::kGroupEnd:
      return absl::InvalidArgumentError(absl::StrCat("group ", field, " ends but was never begun"));
    case WireType::kFixed32:
      return Skip(4);
  }
  return absl::InvalidArgumentError("unknown protobuf wire type");
}

absl::Status PieceReader::SkipGroup(uint32_t field) {
  std::vector<uint32_t> open = {field};
  while (!open.empty()) {
    uint32_t inner = 0;
    WireType type = WireType::kVarint;
    if (absl::Status s = ReadTag(&inner, &type); !s.ok()) return s;
    if (type == WireType::kGroupStart) {
      if (open.size() == kMaxGroupDepth) {
        return absl::InvalidArgumentError(
            absl::StrCat("groups are nested more than ", kMaxGroupDepth, " deep"));
      }
      open.push_back(inner);
    } else if (type == WireType::kGroupEnd) {
      if (inner != open.back()) {
        return absl::InvalidArgumentError(
            absl::StrCat("group ", open.back(), " is ended as group ", inner));
      }
      open.pop_back();
    } else if (absl::Status s = SkipField(inner, type); !s.ok()) {
      return s;
    }
  }
  return absl::OkStatus();
}

}  // namespace tramontane
