// Elements of rows of any dtype, on the device: single ones at any address, several where aligned.
#ifndef TRAMONTANE_KERNELS_CUDA_ELEMENTS_CUH_
#define TRAMONTANE_KERNELS_CUDA_ELEMENTS_CUH_

#include <cstdint>

#include "kernels/cuda/intrinsics.cuh"
#include "model/dtype.h"

namespace tramontane::cuda {

__device__ __forceinline__ uint32_t LoadBytes(const unsigned char* bytes, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= static_cast<uint32_t>(bytes[i]) << (8 * i);
  return value;
}

// IEEE 754 binary16 to binary32, exactly.
__device__ __forceinline__ float WidenHalf(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // The exponent's bias goes from 15 to 127 by a product, which is exact for subnormals, too.
  const float scaled = __uint_as_float(magnitude << 13) * 0x1p112f;
  return __uint_as_float(__float_as_uint(scaled) | sign);
}

__device__ __forceinline__ float WidenBf16(uint32_t bits) { return __uint_as_float(bits << 16); }

// Element `index` of `row`, which lies at any address.
__device__ __forceinline__ float LoadElement(const void* row, DType dtype, int64_t index) {
  const auto* bytes = static_cast<const unsigned char*>(row);
  if (dtype == DType::kF32) return __uint_as_float(LoadBytes(bytes + index * 4, 4));
  const uint32_t bits = LoadBytes(bytes + index * 2, 2);
  return dtype == DType::kBF16 ? WidenBf16(bits) : WidenHalf(bits);
}

// Rounds to nearest even where `dtype` is kBF16; the other possibility is kF32. Aligned.
__device__ __forceinline__ void StoreElement(void* row, DType dtype, int64_t index, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(row)[index] = value;
  } else {
    static_cast<uint16_t*>(row)[index] = static_cast<uint16_t>(PackBf16(value, 0.0f));
  }
}

// Elements side by side, which are loaded and stored at once, at addresses aligned to all of them.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Elements {
  T at[kCount];
};

template <int kCount>
__device__ __forceinline__ Elements<float, kCount> LoadFloats(const float* from) {
  return *reinterpret_cast<const Elements<float, kCount>*>(from);
}

template <int kCount>
__device__ __forceinline__ void StoreFloats(float* to, const Elements<float, kCount>& values) {
  *reinterpret_cast<Elements<float, kCount>*>(to) = values;
}

// As StoreElement, from element `index` on.
template <int kCount>
__device__ __forceinline__ void StoreElements(void* row, DType dtype, int64_t index,
                                              const Elements<float, kCount>& values) {
  if (dtype == DType::kF32) {
    StoreFloats(static_cast<float*>(row) + index, values);
    return;
  }
  Elements<uint16_t, kCount> rounded;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    rounded.at[i] = static_cast<uint16_t>(PackBf16(values.at[i], 0.0f));
  }
  *reinterpret_cast<Elements<uint16_t, kCount>*>(static_cast<uint16_t*>(row) + index) = rounded;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_ELEMENTS_CUH_
