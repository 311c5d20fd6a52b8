#include "model/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tramontane {
namespace {

TEST(DTypeTest, HalfToFloatIsExactForEveryFiniteHalf) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>((bits >> 10) & 0x1f);
    if (exponent == 0x1f) continue;
    const int mantissa = static_cast<int>(bits & 0x3ff);
    // IEEE 754: subnormals are m * 2^-24, the others (1024 + m) * 2^(e - 25).
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::fabs(value), magnitude) << std::hex << bits;
    ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << std::hex << bits;
  }
}

TEST(DTypeTest, HalfInfinitiesAndNansStayWhatTheyAre) {
  EXPECT_EQ(HalfToFloat(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(HalfToFloat(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(HalfToFloat(0x7c01)));
  EXPECT_TRUE(std::isnan(HalfToFloat(0xfe00)));
}

TEST(DTypeTest, ToBFloat16RoundsToNearestAndTiesToEven) {
  const auto bits = [](uint32_t f32) { return ToBFloat16(std::bit_cast<float>(f32)).bits; };
  EXPECT_EQ(bits(0x3f807fff), 0x3f80);  // just below a half: down
  EXPECT_EQ(bits(0x3f808000), 0x3f80);  // a tie: to even, down
  EXPECT_EQ(bits(0x3f818000), 0x3f82);  // a tie: to even, up
  EXPECT_EQ(bits(0x3f808001), 0x3f81);  // just above a half: up
  EXPECT_EQ(bits(0x7f7fffff), 0x7f80);  // the greatest float rounds to infinity
  EXPECT_EQ(bits(0x80000000), 0x8000);  // minus zero stays
}

TEST(DTypeTest, ToBFloat16KeepsNansNans) {
  // The second has its mantissa in the half that is cut off.
  for (uint32_t nan : {0x7fc00000u, 0x7f800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(ToFloat(ToBFloat16(std::bit_cast<float>(nan))))) << std::hex << nan;
  }
}

TEST(DTypeTest, BFloat16SurvivesTheRoundTripThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 value{static_cast<uint16_t>(bits)};
    if (std::isnan(ToFloat(value))) continue;
    ASSERT_EQ(ToBFloat16(ToFloat(value)).bits, value.bits);
  }
}

}  // namespace
}  // namespace tramontane
