#include "tests/kernels/test_tensors.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/elements.h"
#include "model/check.h"

namespace tramontane {
namespace {

int64_t NumElements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

// The binary16 nearest below in magnitude; tests need some f16 weights, not a rounding rule.
uint16_t TruncateToHalf(float value) {
  uint16_t best = 0;
  for (int bit = 14; bit >= 0; --bit) {
    const auto candidate = static_cast<uint16_t>(best | (1 << bit));
    if ((candidate & 0x7c00) != 0x7c00 && HalfToFloat(candidate) <= std::abs(value)) {
      best = candidate;
    }
  }
  return static_cast<uint16_t>(best | (value < 0 ? 0x8000 : 0));
}

}  // namespace

std::vector<float> RandomFloats(int64_t count, uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = scale * (static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f);
  }
  return values;
}

const std::byte* TestTensor::row(int64_t r) const {
  return bytes.data() + static_cast<size_t>(r * (NumElements(shape) / shape[0])) * DTypeSize(dtype);
}

std::vector<float> TestTensor::floats() const {
  std::vector<float> values;
  for (int64_t i = 0; i < NumElements(shape); ++i) {
    values.push_back(LoadElement(bytes.data(), dtype, i));
  }
  return values;
}

TestTensor MakeTensor(const std::vector<float>& values, std::vector<int64_t> shape, DType dtype) {
  TestTensor tensor{dtype, std::move(shape), {}};
  TRAMONTANE_CHECK(NumElements(tensor.shape) == static_cast<int64_t>(values.size()));
  tensor.bytes.resize(values.size() * DTypeSize(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF16) {
      const uint16_t half = TruncateToHalf(values[i]);
      std::memcpy(tensor.bytes.data() + 2 * i, &half, sizeof(half));
    } else {
      StoreElement(tensor.bytes.data(), dtype, static_cast<int64_t>(i), values[i]);
    }
  }
  return tensor;
}

TestTensor RandomTensor(std::vector<int64_t> shape, DType dtype, uint32_t seed, float scale) {
  const std::vector<float> values = RandomFloats(NumElements(shape), seed, scale);
  return MakeTensor(values, std::move(shape), dtype);
}

TestTensor PoisonedTensor(std::vector<int64_t> shape, DType dtype) {
  TestTensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.assign(static_cast<size_t>(NumElements(tensor.shape)) * DTypeSize(dtype),
                      std::byte{0xff});
  return tensor;
}

std::vector<float> Poisoned(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), std::bit_cast<float>(0xffffffffu));
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return a.size() == b.size();
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace tramontane
