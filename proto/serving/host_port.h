// "HOST:PORT", and whether an address stays on this machine.
#ifndef TRAMONTANE_PROTO_SERVING_HOST_PORT_H_
#define TRAMONTANE_PROTO_SERVING_HOST_PORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tramontane {

struct HostPort {
  std::string host;  // without the brackets of an IPv6 literal
  int port = 0;      // [0, 65535]
};

// "127.0.0.1:8470", "localhost:0", "[::1]:8470". INVALID_ARGUMENT naming the address for anything
// else.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

// The reverse, with brackets around a host that holds a colon.
std::string JoinHostPort(absl::string_view host, int port);

// True where every address that `host` resolves to is a loopback address.
bool IsLoopback(const std::string& host);

// Whether nobody on another machine can read what goes to or comes from `address`, HOST:PORT or
// unix:PATH: a loopback host, or a socket in the file system. INVALID_ARGUMENT for another address.
absl::StatusOr<bool> StaysOnThisMachine(absl::string_view address);

// OK where `address` may be listened on without TLS: it stays on this machine, or `allowed`.
// Fails as StaysOnThisMachine, and with FAILED_PRECONDITION naming `flag`, the
// command-line flag that holds the address, for plaintext beyond loopback without leave.
absl::Status CheckPlaintextAddress(absl::string_view address, absl::string_view flag, bool allowed);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_HOST_PORT_H_
