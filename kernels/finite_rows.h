// Whether rows from elsewhere may enter a computation.
#ifndef TRAMONTANE_KERNELS_FINITE_ROWS_H_
#define TRAMONTANE_KERNELS_FINITE_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/dtype.h"

namespace tramontane {

// False where a row holds an infinity or a NaN. `row`: [num_elements] of dtype, any alignment.
inline bool RowIsFinite(const std::byte* row, int64_t num_elements, DType dtype) {
  // Collects "the exponent is all ones" without a branch, so that the loops are vectorised.
  uint32_t bad = 0;
  if (dtype == DType::kF32) {
    for (int64_t i = 0; i < num_elements; ++i) {
      uint32_t bits;
      std::memcpy(&bits, row + i * 4, 4);
      bad |= (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    }
    return bad == 0;
  }
  const uint16_t exponent = dtype == DType::kBF16 ? 0x7f80u : 0x7c00u;
  for (int64_t i = 0; i < num_elements; ++i) {
    uint16_t bits;
    std::memcpy(&bits, row + i * 2, 2);
    bad |= (bits & exponent) == exponent ? 1u : 0u;
  }
  return bad == 0;
}

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_FINITE_ROWS_H_
