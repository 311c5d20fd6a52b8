// gRPC's own lines: in the log's form, and no more than a peer may cause.
#include "proto/serving/grpc_log.h"

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

#include "proto/serving/line_limit.h"

namespace tramontane {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(LineLimitTest, WritesSoManyInAWindowAndCountsWhatItLeftOut) {
  LineLimit limit(2, absl::Seconds(10));
  const auto take = [&limit](double seconds) {
    return limit.Take(absl::UnixEpoch() + absl::Seconds(seconds));
  };
  EXPECT_EQ(take(100), 0);
  EXPECT_EQ(take(101), 0);
  EXPECT_EQ(take(102), std::nullopt);
  EXPECT_EQ(take(109.9), std::nullopt);
  EXPECT_EQ(take(110), 2);
  EXPECT_EQ(take(110), 0);
  EXPECT_EQ(take(110), std::nullopt);
  EXPECT_EQ(take(200), 1);
}

TEST(GrpcLogTest, ItsLinesAreOursAndFew) {
  grpc_init();  // which says what is worth a line
  testing::internal::CaptureStderr();
  TakeGrpcLog();
  for (int i = 0; i < 50; ++i) gpr_log(GPR_ERROR, "handshake %d failed", i);
  const std::string lines = testing::internal::GetCapturedStderr();
  grpc_shutdown();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 10);
  EXPECT_THAT(lines, HasSubstr("level=warning"));
  EXPECT_THAT(lines, HasSubstr("event=\"gRPC says\" message=\"handshake 0 failed\""));
  EXPECT_THAT(lines, HasSubstr("source=grpc_log_test.cc:"));
  EXPECT_THAT(lines, Not(HasSubstr("handshake 10 failed")));
}

}  // namespace
}  // namespace tramontane
