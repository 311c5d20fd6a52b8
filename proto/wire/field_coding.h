// The few field kinds that the expert hop's messages are made of. Private to proto/wire.
#ifndef TRAMONTANE_PROTO_WIRE_FIELD_CODING_H_
#define TRAMONTANE_PROTO_WIRE_FIELD_CODING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/wire/piece_reader.h"

namespace tramontane::wire_internal {

inline void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

inline void AppendTag(uint32_t field, WireType type, std::string& out) {
  AppendVarint((uint64_t{field} << 3) | static_cast<uint32_t>(type), out);
}

// A scalar; 0 is left out, as proto3 does.
inline void AppendScalar(uint32_t field, uint64_t value, std::string& out) {
  if (value == 0) return;
  AppendTag(field, WireType::kVarint, out);
  AppendVarint(value, out);
}

// A packed repeated field; nothing where it is empty. Values are not negative.
template <typename T>
void AppendPacked(uint32_t field, const std::vector<T>& values, std::string& out) {
  if (values.empty()) return;
  size_t length = 0;
  for (const T value : values) {
    uint64_t rest = static_cast<uint64_t>(value);
    do {
      ++length;
      rest >>= 7;
    } while (rest != 0);
  }
  AppendTag(field, WireType::kLength, out);
  AppendVarint(length, out);
  for (const T value : values) AppendVarint(static_cast<uint64_t>(value), out);
}

// A scalar of at most `max`. INVALID_ARGUMENT naming the field for more.
template <typename T>
absl::Status ReadScalar(PieceReader& reader, absl::string_view name, uint64_t max, T* out) {
  uint64_t value = 0;
  if (absl::Status s = reader.ReadVarint(&value); !s.ok()) return s;
  if (value > max) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; the limit is ", max));
  }
  *out = static_cast<T>(value);
  return absl::OkStatus();
}

// One occurrence of a repeated field, packed or not, appended to *out. INVALID_ARGUMENT where a
// value is above `max` or the field grows past `max_count` entries.
template <typename T>
absl::Status ReadRepeated(PieceReader& reader, WireType type, absl::string_view name, uint64_t max,
                          size_t max_count, std::vector<T>* out) {
  size_t left = 0;  // bytes of the packed values
  if (type == WireType::kLength) {
    if (absl::Status s = reader.ReadLength(&left); !s.ok()) return s;
    if (left == 0) return absl::OkStatus();
  }
  for (;;) {
    if (out->size() >= max_count) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " has more than ", max_count, " entries, the limit"));
    }
    const size_t before = reader.remaining();
    T value{};
    if (absl::Status s = ReadScalar(reader, name, max, &value); !s.ok()) return s;
    out->push_back(value);
    if (type != WireType::kLength) return absl::OkStatus();
    const size_t used = before - reader.remaining();
    if (used > left) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": a value crosses the field's end"));
    }
    left -= used;
    if (left == 0) return absl::OkStatus();
  }
}

// True where a repeated scalar may be written so.
inline bool IsRepeatedType(WireType type) {
  return type == WireType::kVarint || type == WireType::kLength;
}

}  // namespace tramontane::wire_internal

#endif  // TRAMONTANE_PROTO_WIRE_FIELD_CODING_H_
