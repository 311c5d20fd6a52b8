// Random inputs, poisoned outputs and row-wise comparisons for the kernels' tests.
#ifndef TRAMONTANE_TESTS_KERNELS_TEST_TENSORS_H_
#define TRAMONTANE_TESTS_KERNELS_TEST_TENSORS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "model/dtype.h"
#include "model/tensor_view.h"

namespace tramontane {

// Half a unit in the last place of 1: the relative error of one float32 operation.
inline constexpr double kEpsilon = 0x1p-24;
// One unit in the last place of bf16, relative to the value, at most: two roundings of nearly equal
// float32 values differ by no more.
inline constexpr double kBf16Step = 0x1p-7;

// Uniform in [-1, 1); the same `seed`, the same numbers.
std::vector<float> RandomFloats(int64_t count, uint32_t seed, float scale = 1.0f);

// Elements of any dtype in memory, as kernels take them.
struct TestTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  TensorView view() const { return {"test", dtype, shape, bytes.data()}; }
  const std::byte* row(int64_t r) const;
  std::vector<float> floats() const;
};

TestTensor MakeTensor(const std::vector<float>& values, std::vector<int64_t> shape, DType dtype);
TestTensor RandomTensor(std::vector<int64_t> shape, DType dtype, uint32_t seed, float scale = 1.0f);
// Every bit set: a NaN in every dtype, so that an element left unwritten is noticed.
TestTensor PoisonedTensor(std::vector<int64_t> shape, DType dtype);
std::vector<float> Poisoned(int64_t count);

// Whether both hold the same bits, NaN included.
bool SameBits(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_TEST_TENSORS_H_
