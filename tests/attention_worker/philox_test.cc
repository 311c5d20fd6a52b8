#include "attention_worker/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace tramontane {
namespace {

// The known answers that the Random123 library of the paper's authors is tested with.
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformNumbersFillTheUnitInterval) {
  constexpr int kCount = 4096;
  double sum = 0.0;
  std::set<double> distinct;
  for (int position = 0; position < kCount; ++position) {
    const double uniform = static_cast<double>(RandomAt(42, position)) * 0x1.0p-53;
    ASSERT_GE(uniform, 0.0);
    ASSERT_LT(uniform, 1.0);
    sum += uniform;
    distinct.insert(uniform);
  }
  EXPECT_EQ(distinct.size(), static_cast<size_t>(kCount));
  // The mean of n such numbers has a standard deviation of 1 / sqrt(12 n) = 0.0045; five of them.
  EXPECT_NEAR(sum / kCount, 0.5, 0.0225);
}

TEST(PhiloxTest, SeedAndPositionBothMatter) {
  EXPECT_NE(RandomAt(1, 7), RandomAt(2, 7));
  EXPECT_NE(RandomAt(1, 7), RandomAt(1, 8));
  EXPECT_NE(RandomAt(1, 7), RandomAt(uint64_t{1} << 32 | 1, 7));
}

}  // namespace
}  // namespace tramontane
