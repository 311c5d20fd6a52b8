#include "expert_worker/lone_stream.h"

#include <gtest/gtest.h>

namespace tramontane {
namespace {

class LoneStreamTest : public ::testing::Test {
 protected:
  static absl::Time At(int ms) { return absl::FromUnixMillis(ms); }
  // Whether the stream is alone when its batch comes.
  bool Batch(uint64_t stream, int ms) {
    streams_.OnBatch(stream, At(ms));
    return streams_.IsAlone(At(ms));
  }

  LoneStream streams_{absl::Milliseconds(100)};
};

TEST_F(LoneStreamTest, AStreamIsAloneWhileNoOtherSends) {
  EXPECT_TRUE(Batch(0, 0));
  EXPECT_TRUE(Batch(0, 1));
  EXPECT_TRUE(Batch(0, 500));
}

TEST_F(LoneStreamTest, StreamsThatTakeTurnsAreNeverAlone) {
  EXPECT_TRUE(Batch(1, 0));
  EXPECT_FALSE(Batch(2, 50));
  EXPECT_FALSE(Batch(1, 100));
  EXPECT_FALSE(Batch(1, 101));
  EXPECT_FALSE(Batch(2, 110));
}

TEST_F(LoneStreamTest, TheLastOfManyIsAloneOnceTheOthersHaveBeenSilentForLong) {
  EXPECT_TRUE(Batch(1, 0));
  EXPECT_FALSE(Batch(2, 10));
  EXPECT_FALSE(Batch(3, 20));
  EXPECT_FALSE(Batch(3, 109));
  EXPECT_TRUE(Batch(3, 110));
}

}  // namespace
}  // namespace tramontane
