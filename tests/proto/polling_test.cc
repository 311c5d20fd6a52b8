#include "proto/serving/polling.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace tramontane {
namespace {

TEST(PollOwnConnectionsTest, TheEnvironmentGoesFirst) {
  const char* const before = getenv("GRPC_POLL_STRATEGY");
  const std::string kept = before != nullptr ? before : "";
  unsetenv("GRPC_POLL_STRATEGY");
  PollOwnConnections();
  EXPECT_STREQ(getenv("GRPC_POLL_STRATEGY"), "poll");
  setenv("GRPC_POLL_STRATEGY", "epoll1", 1);
  PollOwnConnections();
  EXPECT_STREQ(getenv("GRPC_POLL_STRATEGY"), "epoll1");
  unsetenv("GRPC_POLL_STRATEGY");
  if (before != nullptr) setenv("GRPC_POLL_STRATEGY", kept.c_str(), 1);
}

}  // namespace
}  // namespace tramontane
