#include "proto/serving/connection_acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/check.h"
#include "model/log.h"
#include "proto/serving/host_port.h"

namespace tramontane {
namespace {

constexpr int kBacklog = 1024;
constexpr int kMaxReserve = 64;
constexpr int kRetryMs = 100;  // when there are no descriptors

absl::Status CannotListen(const std::string& address, const std::string& why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", why));
}

// The first descriptor that is out of bounds for connections.
int DescriptorBound() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > (1 << 30)) return 1 << 30;
  const int most = static_cast<int>(limit.rlim_cur);
  return most - std::min(kMaxReserve, most / 8);
}

int BoundSocket(const addrinfo& address) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  const int off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.ai_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // accepted ones inherit it
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int PortOf(int fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  TRAMONTANE_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) == 0);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(
    const std::string& address) {
  std::unique_ptr<ConnectionAcceptor> acceptor(new ConnectionAcceptor(address));
  const absl::Status listening =
      IsUnixAddress(address) ? acceptor->ListenOnUnix() : acceptor->ListenOnTcp();
  if (!listening.ok()) return listening;
  return acceptor;
}

ConnectionAcceptor::ConnectionAcceptor(std::string address)
    : address_(std::move(address)), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TRAMONTANE_CHECK(wake_fd_ >= 0);
}

absl::Status ConnectionAcceptor::ListenOnTcp() {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address_);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(parsed->host.c_str(), absl::StrCat(parsed->port).c_str(), &hints, &found);
  if (error != 0) return CannotListen(address_, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  listener_fd_ = BoundSocket(*found);
  if (listener_fd_ < 0) {
    return CannotListen(address_, absl::StrCat(std::strerror(errno),
                                               "; is the port taken, and the address this "
                                               "machine's?"));
  }
  address_ = JoinHostPort(parsed->host, PortOf(listener_fd_));
  return absl::OkStatus();
}

absl::Status ConnectionAcceptor::ListenOnUnix() {
  const absl::StatusOr<std::string> path = ParseUnixAddress(address_);
  if (!path.ok()) return path.status();
  listener_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_fd_ < 0) return CannotListen(address_, std::strerror(errno));
  absl::StatusOr<std::unique_ptr<UnixSocketFile>> file =
      UnixSocketFile::Listen(listener_fd_, *path, kBacklog);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  return absl::OkStatus();
}

ConnectionAcceptor::~ConnectionAcceptor() {
  Stop();
  file_.reset();  // while the socket still listens: nobody takes it for a dead process's
  if (listener_fd_ >= 0) close(listener_fd_);
  close(wake_fd_);
}

void ConnectionAcceptor::Start(std::function<void(int fd)> on_connection) {
  on_connection_ = std::move(on_connection);
  thread_ = std::thread([this] { Loop(); });
}

void ConnectionAcceptor::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  TRAMONTANE_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
}

void ConnectionAcceptor::Loop() {
  bool has_descriptors = true;
  while (true) {
    pollfd events[] = {{wake_fd_, POLLIN, 0}, {listener_fd_, POLLIN, 0}};
    if (has_descriptors) {
      poll(events, 2, -1);
    } else {
      poll(events, 1, kRetryMs);
    }
    if (events[0].revents != 0) return;
    has_descriptors = AcceptOne();
  }
}

bool ConnectionAcceptor::AcceptOne() {
  const int fd = accept4(listener_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  const bool exhausted =
      fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
  // The kernel gives the lowest free number: as many are in use.
  const bool refused = exhausted || fd >= DescriptorBound();
  if (refused && !refusing_) {
    Log(LogLevel::kWarning, "connections refused: too few descriptors are left",
        {{"limit", DescriptorBound()}});
  }
  if (refused || fd >= 0) refusing_ = refused;
  if (refused && fd >= 0) close(fd);
  if (!refused && fd >= 0) on_connection_(fd);
  return !exhausted;
}

}  // namespace tramontane
