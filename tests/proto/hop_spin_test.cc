#include "proto/serving/hop_spin.h"

#include <gtest/gtest.h>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"

ABSL_DECLARE_FLAG(int, hop_spin_us);

namespace tramontane {
namespace {

class HopSpinTest : public ::testing::Test {
 protected:
  ~HopSpinTest() override { absl::SetFlag(&FLAGS_hop_spin_us, 0); }
};

TEST_F(HopSpinTest, TheFlagIsIgnoredOnFewProcessors) {
  absl::SetFlag(&FLAGS_hop_spin_us, 200);
  EXPECT_EQ(HopSpinFromFlag(3), absl::ZeroDuration());
  EXPECT_EQ(HopSpinFromFlag(4), absl::Microseconds(200));
}

TEST_F(HopSpinTest, TheFlagHasARange) {
  EXPECT_TRUE(CheckHopSpinFlag().ok());
  for (const int spin_us : {-1, 10'001}) {
    absl::SetFlag(&FLAGS_hop_spin_us, spin_us);
    EXPECT_EQ(CheckHopSpinFlag().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace tramontane
