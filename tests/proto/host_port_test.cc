#include "proto/serving/host_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tramontane {
namespace {

using ::testing::HasSubstr;

TEST(HostPortTest, ReadsNamesAndLiterals) {
  for (const auto& [text, host, port] :
       {std::tuple("127.0.0.1:0", "127.0.0.1", 0),
        std::tuple("localhost:65535", "localhost", 65535), std::tuple("[::1]:80", "::1", 80)}) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, port);
    EXPECT_EQ(JoinHostPort(parsed->host, parsed->port), text);
  }
}

TEST(HostPortTest, RefusesWhatIsNoHostPort) {
  for (const char* text : {"", ":", "localhost", "localhost:", ":80", "localhost:65536",
                           "localhost:-1", "localhost:+1", "localhost:8o", "::1:80", "[::1:80"}) {
    EXPECT_EQ(ParseHostPort(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(HostPortTest, PlaintextBeyondLoopbackNeedsLeave) {
  EXPECT_TRUE(CheckPlaintextAddress("127.0.0.1:1", "listen", false).ok());
  EXPECT_TRUE(CheckPlaintextAddress("127.9.9.9:1", "listen", false).ok());
  EXPECT_TRUE(CheckPlaintextAddress("[::1]:1", "listen", false).ok());
  EXPECT_TRUE(CheckPlaintextAddress("unix:/run/x.sock", "listen", false).ok());
  EXPECT_TRUE(CheckPlaintextAddress("0.0.0.0:1", "listen", true).ok());
  for (const char* address : {"0.0.0.0:1", "[::]:1", "192.0.2.1:1"}) {
    const absl::Status refused = CheckPlaintextAddress(address, "listen", false);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("--allow_plaintext_beyond_loopback"));
  }
}

}  // namespace
}  // namespace tramontane
