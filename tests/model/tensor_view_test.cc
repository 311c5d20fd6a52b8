#include "model/tensor_view.h"

#include <gtest/gtest.h>

#include <cstring>

namespace tramontane {
namespace {

TEST(TensorViewTest, ReadsElementsThatAreNotAligned) {
  std::byte buffer[13] = {};
  const float values[3] = {1.5f, -2.25f, 3e-30f};
  std::memcpy(buffer + 1, values, sizeof(values));
  const TensorView tensor{"t", DType::kF32, {3}, buffer + 1};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ElementAsFloat(tensor, i), values[i]);
}

TEST(TensorViewTest, ReadsEachDType) {
  const uint16_t bf16[2] = {0x3fc0, 0xc010};
  const uint16_t f16[2] = {0x3e00, 0xc080};
  const TensorView bf16_tensor{"b", DType::kBF16, {2, 1}, reinterpret_cast<const std::byte*>(bf16)};
  const TensorView f16_tensor{"h", DType::kF16, {1, 2}, reinterpret_cast<const std::byte*>(f16)};
  EXPECT_EQ(ElementAsFloat(bf16_tensor, 0), 1.5f);
  EXPECT_EQ(ElementAsFloat(bf16_tensor, 1), -2.25f);
  EXPECT_EQ(ElementAsFloat(f16_tensor, 0), 1.5f);
  EXPECT_EQ(ElementAsFloat(f16_tensor, 1), -2.25f);
}

TEST(TensorViewTest, CountsElementsAndBytes) {
  EXPECT_EQ((TensorView{"t", DType::kBF16, {3, 4}, nullptr}.num_bytes()), 24u);
  EXPECT_EQ((TensorView{"t", DType::kF32, {}, nullptr}.num_elements()), 1);
  EXPECT_EQ((TensorView{"t", DType::kF32, {3, 0}, nullptr}.num_bytes()), 0u);
}

TEST(TensorViewDeathTest, AnElementOutOfRangeIsABug) {
  const float value = 0;
  const TensorView tensor{"t", DType::kF32, {1}, reinterpret_cast<const std::byte*>(&value)};
  EXPECT_DEATH(ElementAsFloat(tensor, 1), "CHECK failed");
}

}  // namespace
}  // namespace tramontane
