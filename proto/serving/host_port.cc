#include "proto/serving/host_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/serving/unix_socket.h"

namespace tramontane {
namespace {

absl::Status BadAddress(absl::string_view address) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", address,
                   "\" is not HOST:PORT with a port in [0, 65535]; write, for example, "
                   "127.0.0.1:8470 or [::1]:8470, or unix:PATH for a server's own port"));
}

bool IsLoopbackAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (address->sa_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr) != 0;
  }
  return false;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return BadAddress(address);
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return BadAddress(address);
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != absl::string_view::npos) {
    return BadAddress(address);
  }
  HostPort result;
  result.host = std::string(host);
  if (host.empty() || port.empty() || port.front() == '+' || port.front() == '-' ||
      !absl::SimpleAtoi(port, &result.port) || result.port > 65535) {
    return BadAddress(address);
  }
  return result;
}

std::string JoinHostPort(absl::string_view host, int port) {
  const bool literal_v6 = host.find(':') != absl::string_view::npos;
  return literal_v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

bool IsLoopback(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) return false;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (!IsLoopbackAddress(a->ai_addr)) return false;
  }
  return true;
}

absl::StatusOr<bool> StaysOnThisMachine(absl::string_view address) {
  if (IsUnixAddress(address)) {
    const absl::StatusOr<std::string> path = ParseUnixAddress(address);
    if (!path.ok()) return path.status();
    return true;
  }
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  return IsLoopback(parsed->host);
}

absl::Status CheckPlaintextAddress(absl::string_view address, absl::string_view flag,
                                   bool allowed) {
  if (allowed) {  // without a look at the name
    return IsUnixAddress(address) ? ParseUnixAddress(address).status()
                                  : ParseHostPort(address).status();
  }
  const absl::StatusOr<bool> stays = StaysOnThisMachine(address);
  if (!stays.ok()) return stays.status();
  if (*stays) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("--", flag, "=", address,
                   " would be reachable from other machines in plaintext: expected a loopback "
                   "address such as 127.0.0.1, or --allow_plaintext_beyond_loopback on a network "
                   "that you trust"));
}

}  // namespace tramontane
