#include "model/tensor_view.h"

#include <cstring>

#include "model/check.h"

namespace tramontane {

float ElementAsFloat(const TensorView& tensor, int64_t index) {
  TRAMONTANE_CHECK(index >= 0 && index < tensor.num_elements());
  const std::byte* element = tensor.bytes + static_cast<size_t>(index) * DTypeSize(tensor.dtype);
  if (tensor.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, element, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, element, sizeof(bits));
  return tensor.dtype == DType::kBF16 ? ToFloat(BFloat16{bits}) : HalfToFloat(bits);
}

}  // namespace tramontane
