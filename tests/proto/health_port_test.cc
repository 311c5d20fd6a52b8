#include "proto/serving/health_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/health_probe.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

TEST(HealthPortTest, IsLiveBeforeItIsReady) {
  const auto port = HealthPort::Start("127.0.0.1:0", false);
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_EQ(ProbeHealth((*port)->address(), HealthPort::kLive), HealthState::kServing);
  EXPECT_EQ(ProbeHealth((*port)->address(), ""), HealthState::kNotServing);
}

TEST(HealthPortTest, ReadinessFollowsSetReadyAndLivenessDoesNot) {
  const auto port = HealthPort::Start("127.0.0.1:0", false);
  ASSERT_TRUE(port.ok()) << port.status();
  (*port)->SetReady(true);
  EXPECT_EQ(ProbeHealth((*port)->address(), ""), HealthState::kServing);
  (*port)->SetReady(false);
  EXPECT_EQ(ProbeHealth((*port)->address(), ""), HealthState::kNotServing);
  EXPECT_EQ(ProbeHealth((*port)->address(), HealthPort::kLive), HealthState::kServing);
}

TEST(HealthPortTest, AnEmptyAddressServesNothing) {
  const auto port = HealthPort::Start("", false);
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_EQ((*port)->address(), "");
  (*port)->SetReady(true);
}

TEST(HealthPortTest, BeyondLoopbackNeedsLeaveAndNamesTheFlag) {
  const absl::Status refused = HealthPort::Start("0.0.0.0:0", false).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--health_listen"));
}

TEST(HealthPortTest, ATakenPortIsUnavailable) {
  const auto first = HealthPort::Start("127.0.0.1:0", false);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(HealthPort::Start((*first)->address(), false).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tramontane
