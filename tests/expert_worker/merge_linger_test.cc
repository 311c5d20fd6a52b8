#include "expert_worker/merge_linger.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

constexpr absl::Duration kLinger = absl::Microseconds(50);
constexpr absl::Duration kActiveFor = absl::Milliseconds(100);

class MergeLingerTest : public ::testing::Test {
 protected:
  const absl::Time start_ = absl::FromUnixSeconds(1'000);
  MergeLinger linger_{kLinger, kActiveFor};
};

TEST_F(MergeLingerTest, AStreamAloneNeverWaits) {
  linger_.OnBatch(1, start_);
  EXPECT_LE(linger_.Until(start_, 1, start_), start_);
}

TEST_F(MergeLingerTest, WaitsWhileAnActiveStreamHasNothingWaiting) {
  linger_.OnBatch(1, start_);
  linger_.OnBatch(2, start_);
  EXPECT_EQ(linger_.Until(start_, 1, start_), start_ + kLinger);
  EXPECT_EQ(linger_.Until(start_, 1, start_ + kLinger / 2), start_ + kLinger);
}

TEST_F(MergeLingerTest, DoesNotWaitOnceAllActiveStreamsHaveSomethingWaiting) {
  linger_.OnBatch(1, start_);
  linger_.OnBatch(2, start_);
  EXPECT_LE(linger_.Until(start_, 2, start_), start_);
}

TEST_F(MergeLingerTest, WaitsNoLongerThanAllowed) {
  linger_.OnBatch(1, start_);
  linger_.OnBatch(2, start_);
  EXPECT_LE(linger_.Until(start_, 1, start_ + kLinger), start_ + kLinger);
}

TEST_F(MergeLingerTest, ASilentStreamIsNotWaitedFor) {
  linger_.OnBatch(1, start_);
  const absl::Time later = start_ + kActiveFor + absl::Microseconds(1);
  linger_.OnBatch(2, later);
  EXPECT_LE(linger_.Until(later, 1, later), later);
  // It is, when it sends again.
  linger_.OnBatch(1, later);
  EXPECT_EQ(linger_.Until(later, 1, later), later + kLinger);
}

TEST(MergeLingerOffTest, NeverWaits) {
  MergeLinger off(absl::ZeroDuration(), kActiveFor);
  const absl::Time now = absl::FromUnixSeconds(1'000);
  off.OnBatch(1, now);
  off.OnBatch(2, now);
  EXPECT_LE(off.Until(now, 1, now), now);
}

}  // namespace
}  // namespace tramontane
