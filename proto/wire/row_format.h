// tramontane.v1.RowFormat in domain terms.
#ifndef TRAMONTANE_PROTO_WIRE_ROW_FORMAT_H_
#define TRAMONTANE_PROTO_WIRE_ROW_FORMAT_H_

#include <cstdint>
#include <optional>

#include "model/dtype.h"

namespace tramontane {

// The enum's number; 0, unspecified, for a dtype that has none on the wire.
constexpr uint32_t RowFormatNumber(std::optional<DType> dtype) {
  if (dtype == DType::kBF16) return 1;
  if (dtype == DType::kF32) return 2;
  return 0;
}

// Absent for a number that is unspecified or unknown.
constexpr std::optional<DType> RowFormatDType(uint64_t number) {
  if (number == 1) return DType::kBF16;
  if (number == 2) return DType::kF32;
  return std::nullopt;
}

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_ROW_FORMAT_H_
