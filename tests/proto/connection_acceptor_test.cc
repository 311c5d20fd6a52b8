#include "proto/serving/connection_acceptor.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/log.h"
#include "proto/serving/host_port.h"

namespace tramontane {
namespace {

constexpr int kTimeoutMs = 20'000;

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_GE(fd, 0);
  return fd;
}

void Connect(int fd, const std::string& listening) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(listening);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(parsed->port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

// The next byte of a connection, -1 where the server closed it.
int NextByte(int fd) {
  pollfd event = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, kTimeoutMs), 1);
  char byte = 0;
  return recv(fd, &byte, 1, 0) == 1 ? byte : -1;
}

class ConnectionAcceptorTest : public testing::Test {
 protected:
  ConnectionAcceptorTest() {
    // UBSan needs descriptors to look at a type for the first time; the acceptor's log is written
    // when there are none.
    Log(LogLevel::kInfo, "descriptors will run out", {{"limit", 0}});
    auto listening = ConnectionAcceptor::Listen("127.0.0.1:0");
    EXPECT_TRUE(listening.ok()) << listening.status();
    acceptor_ = *std::move(listening);
    // Greets, and keeps the connection.
    acceptor_->Start([this](int fd) {
      accepted_.push_back(fd);
      EXPECT_EQ(send(fd, "h", 1, MSG_NOSIGNAL), 1);
    });
  }
  ~ConnectionAcceptorTest() override {
    acceptor_->Stop();
    for (const int fd : accepted_) close(fd);
  }

  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::vector<int> accepted_;  // of the acceptor's thread until Stop
};

TEST_F(ConnectionAcceptorTest, HandsConnectionsOn) {
  for (int i = 0; i < 10; ++i) {
    const int fd = NewSocket();
    Connect(fd, acceptor_->address());
    EXPECT_EQ(NextByte(fd), 'h');
    close(fd);
  }
}

TEST_F(ConnectionAcceptorTest, ATakenPortIsUnavailable) {
  const auto second = ConnectionAcceptor::Listen(acceptor_->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ConnectionAcceptorTest, ServesAgainAfterDescriptorsRanOut) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<int> waiting;
  for (int i = 0; i < 8; ++i) waiting.push_back(NewSocket());
  // Descriptors beyond the limit stay open; no new one can come.
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  for (const int fd : waiting) Connect(fd, acceptor_->address());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const int fd : waiting) {
    EXPECT_EQ(NextByte(fd), 'h');
    close(fd);
  }
}

TEST_F(ConnectionAcceptorTest, ClosesWhatWouldTakeTheReserve) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<int> in_use;
  while (in_use.empty() || in_use.back() < 80) in_use.push_back(NewSocket());
  const int client = NewSocket();
  rlimit few = before;
  // Eight descriptors are left, and the reserve is an eighth: eleven.
  few.rlim_cur = static_cast<rlim_t>(client) + 9;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Connect(client, acceptor_->address());
  EXPECT_EQ(NextByte(client), -1);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  close(client);
  const int next = NewSocket();
  Connect(next, acceptor_->address());
  EXPECT_EQ(NextByte(next), 'h');
  close(next);
  for (const int fd : in_use) close(fd);
}

}  // namespace
}  // namespace tramontane
