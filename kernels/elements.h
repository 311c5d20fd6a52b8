// Single elements of rows in memory, of any dtype and alignment.
#ifndef TRAMONTANE_KERNELS_ELEMENTS_H_
#define TRAMONTANE_KERNELS_ELEMENTS_H_

#include <cstdint>
#include <cstring>

#include "model/dtype.h"

namespace tramontane {

// Element `index` of `row` as float32: exact.
inline float LoadElement(const void* row, DType dtype, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(row);
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, bytes + index * 4, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + index * 2, sizeof(bits));
  return dtype == DType::kBF16 ? ToFloat(BFloat16{bits}) : HalfToFloat(bits);
}

// Rounds to nearest even where `dtype` is kBF16; the other possibility is kF32.
inline void StoreElement(void* row, DType dtype, int64_t index, float value) {
  auto* bytes = static_cast<std::byte*>(row);
  if (dtype == DType::kF32) {
    std::memcpy(bytes + index * 4, &value, sizeof(value));
  } else {
    const uint16_t bits = ToBFloat16(value).bits;
    std::memcpy(bytes + index * 2, &bits, sizeof(bits));
  }
}

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ELEMENTS_H_
