#include "proto/serving/flag_range.h"

#include <gtest/gtest.h>

#include <limits>

namespace tramontane {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(FlagRangeTest, TheFirstThatIsOutOfItIsNamedWithItsValue) {
  EXPECT_TRUE(CheckAtLeast(1, {{"a", 1}, {"b", 2}}).ok());
  const absl::Status less = CheckAtLeast(1, {{"a", 1}, {"b", 0}, {"c", -1}});
  EXPECT_EQ(less.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(less.message(), "--b=0: expected 1 or more");
  EXPECT_TRUE(CheckMoreThan(0, {{"a", 0.1}}).ok());
  EXPECT_EQ(CheckMoreThan(0, {{"a", 0.1}, {"b", 0}}).message(), "--b=0: expected more than 0");
}

TEST(FlagRangeTest, WhatIsNoNumberIsInNone) {
  EXPECT_FALSE(CheckAtLeast(0, {{"a", kNan}}).ok());
  EXPECT_FALSE(CheckMoreThan(0, {{"a", kNan}}).ok());
}

}  // namespace
}  // namespace tramontane
