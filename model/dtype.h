// Element types of checkpoints, activations and wire rows.
#ifndef TRAMONTANE_MODEL_DTYPE_H_
#define TRAMONTANE_MODEL_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tramontane {

enum class DType { kF32, kBF16, kF16 };

constexpr size_t DTypeSize(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// "f32", "bf16", "f16": as flags, logs and `Describe` spell them.
constexpr std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBF16:
      return "bf16";
    case DType::kF16:
      return "f16";
  }
  return "unknown";
}

// bfloat16: the upper half of an IEEE 754 binary32.
struct BFloat16 {
  uint16_t bits;
};

inline float ToFloat(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Rounds to nearest, ties to even; a NaN stays a NaN.
inline BFloat16 ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<uint16_t>((bits >> 16) | 0x0040u)};
  }
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// IEEE 754 binary16 (its bits) to binary32, exactly.
float HalfToFloat(uint16_t half_bits);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_DTYPE_H_
