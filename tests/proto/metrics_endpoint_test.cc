#include "proto/serving/metrics_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/serving/host_port.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

int Connect(const std::string& address) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  EXPECT_TRUE(parsed.ok());
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(parsed->port));
  inet_pton(AF_INET, parsed->host.c_str(), &to.sin_addr);
  EXPECT_EQ(connect(socket_fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return socket_fd;
}

// GET /metrics, to the end of the connection.
std::string Get(const std::string& address) {
  const int socket_fd = Connect(address);
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(write(socket_fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string response;
  char buffer[4096];
  for (ssize_t n; (n = read(socket_fd, buffer, sizeof(buffer))) > 0;) {
    response.append(buffer, static_cast<size_t>(n));
  }
  close(socket_fd);
  return response;
}

TEST(MetricsEndpointTest, ServesTheRegistryOnThePortThatItTook) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("some_total")
      .Help("Help.")
      .Register(*registry)
      .Add({})
      .Increment(3);
  const auto endpoint = MetricsEndpoint::Start("127.0.0.1:0", false, registry);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_THAT((*endpoint)->address(), ::testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_THAT(Get((*endpoint)->address()), HasSubstr("some_total 3"));
}

TEST(MetricsEndpointTest, ServesWhatTheProcessUses) {
  const auto endpoint =
      MetricsEndpoint::Start("127.0.0.1:0", false, std::make_shared<prometheus::Registry>());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const std::string response = Get((*endpoint)->address());
  EXPECT_THAT(response, HasSubstr("# TYPE process_cpu_seconds_total counter"));
  EXPECT_THAT(response, HasSubstr("\nprocess_open_fds "));
}

TEST(MetricsEndpointTest, ConnectionsThatSayNothingLoseTheirPlace) {
  const auto endpoint =
      MetricsEndpoint::Start("127.0.0.1:0", false, std::make_shared<prometheus::Registry>());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  std::vector<int> silent;
  for (int i = 0; i < 8; ++i) {  // twice the threads
    silent.push_back(Connect((*endpoint)->address()));
    const std::string beginning = i % 2 == 0 ? "GET /me" : "";
    EXPECT_EQ(write(silent.back(), beginning.data(), beginning.size()),
              static_cast<ssize_t>(beginning.size()));
  }
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Get((*endpoint)->address()), HasSubstr("200 OK"));
  // Prometheus gives a scrape up after 10 s.
  EXPECT_LT(absl::Now() - begin, absl::Seconds(8));
  for (const int fd : silent) close(fd);
}

TEST(MetricsEndpointTest, AnEmptyAddressServesNothing) {
  const auto endpoint = MetricsEndpoint::Start("", false, std::make_shared<prometheus::Registry>());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ((*endpoint)->address(), "");
}

TEST(MetricsEndpointTest, ATakenPortIsUnavailable) {
  auto registry = std::make_shared<prometheus::Registry>();
  const auto first = MetricsEndpoint::Start("127.0.0.1:0", false, registry);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(MetricsEndpoint::Start((*first)->address(), false, registry).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(MetricsEndpointTest, BeyondLoopbackNeedsLeave) {
  const absl::Status refused =
      MetricsEndpoint::Start("0.0.0.0:0", false, std::make_shared<prometheus::Registry>()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--metrics_listen"));
}

}  // namespace
}  // namespace tramontane
