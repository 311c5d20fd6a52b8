#include "tests/hostile/hostile_connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr size_t kMaxHeld = 40;
constexpr int kQuietMs = 3;
// A server that answers without end is left after so many pieces.
constexpr int kMaxPieces = 100;
// One that reads nothing is left after so long; one that accepts nothing hangs.
constexpr timeval kSendPatience = {1, 0}, kConnectPatience = {10, 0};

}  // namespace

HostileConnections::HostileConnections(std::string address) : address_(std::move(address)) {}

HostileConnections::~HostileConnections() {
  for (const int fd : held_) close(fd);
}

absl::Status HostileConnections::Say(const ConnectionScript& script) {
  const size_t colon = address_.rfind(':');
  int port = 0;
  static_cast<void>(absl::SimpleAtoi(address_.substr(colon + 1), &port));
  sockaddr_in target = {};
  target.sin_family = AF_INET;
  target.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address_.substr(0, colon).c_str(), &target.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kConnectPatience, sizeof(kConnectPatience));
  if (connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)) != 0) {
    const std::string reason =
        errno == EINPROGRESS ? "it accepts nothing for 10 s" : strerror(errno);
    close(fd);
    return absl::UnavailableError(absl::StrCat("cannot connect to ", address_, ": ", reason));
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kSendPatience, sizeof(kSendPatience));
  // What is not taken is not sent: the server has closed, or reads no more.
  for (size_t sent = 0; sent < script.bytes.size();) {
    const ssize_t now =
        send(fd, script.bytes.data() + sent, script.bytes.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) break;
    sent += static_cast<size_t>(now);
  }
  if (script.hold) {
    held_.push_back(fd);
    if (held_.size() <= kMaxHeld) return absl::OkStatus();
    close(held_.front());
    held_.pop_front();
    return absl::OkStatus();
  }
  char buffer[65536];
  pollfd event = {fd, POLLIN, 0};
  for (int i = 0; i < kMaxPieces && poll(&event, 1, kQuietMs) > 0; ++i) {
    if (recv(fd, buffer, sizeof(buffer), 0) <= 0) break;
  }
  if (script.reset) {
    const linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  close(fd);
  return absl::OkStatus();
}

}  // namespace tramontane
