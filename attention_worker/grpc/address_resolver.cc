#include "attention_worker/grpc/address_resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/serving/host_port.h"
#include "proto/serving/unix_socket.h"

namespace tramontane {
namespace {

std::string NumericHost(const addrinfo& address) {
  char host[NI_MAXHOST];
  const int failed = getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof(host), nullptr,
                                 0, NI_NUMERICHOST);
  return failed != 0 ? std::string() : std::string(host);
}

}  // namespace

bool IsWorkerTarget(const std::string& target) {
  if (IsUnixAddress(target)) return ParseUnixAddress(target).ok();
  const absl::StatusOr<HostPort> parsed = ParseHostPort(target);
  return parsed.ok() && parsed->port != 0;
}

absl::StatusOr<std::vector<std::string>> ParseWorkerList(const std::string& list,
                                                         const std::string& flag) {
  std::vector<std::string> targets;
  for (const absl::string_view part : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    const std::string target(absl::StripAsciiWhitespace(part));
    if (!IsWorkerTarget(target)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, ": \"", target,
                       "\" is not HOST:PORT with a port in [1, 65535], nor unix:PATH; write, for "
                       "example, 127.0.0.1:8481,127.0.0.1:8482"));
    }
    targets.push_back(target);
  }
  if (targets.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " names no worker; expected HOST:PORT or unix:PATH,…"));
  }
  return targets;
}

absl::StatusOr<std::vector<std::string>> ResolveTarget(const std::string& target) {
  if (IsUnixAddress(target)) return std::vector<std::string>{target};
  const absl::StatusOr<HostPort> parsed = ParseHostPort(target);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parsed->host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("the name of ", target, " does not resolve: ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::set<std::string> v4, v6;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const std::string host = NumericHost(*address);
    if (host.empty()) continue;
    (address->ai_family == AF_INET ? v4 : v6).insert(JoinHostPort(host, parsed->port));
  }
  const std::set<std::string>& chosen = v4.empty() ? v6 : v4;
  if (chosen.empty()) {
    return absl::UnavailableError(absl::StrCat("the name of ", target, " has no address"));
  }
  return std::vector<std::string>(chosen.begin(), chosen.end());
}

}  // namespace tramontane
