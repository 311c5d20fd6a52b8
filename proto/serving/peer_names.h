// Which peers a server serves, by the names in their certificates.
#ifndef TRAMONTANE_PROTO_SERVING_PEER_NAMES_H_
#define TRAMONTANE_PROTO_SERVING_PEER_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tramontane {

// DNS names, "*." and a DNS name, or URIs (spiffe://…), as --allowed_peers lists them.
class PeerNames {
 public:
  // Nobody in particular: every peer is allowed.
  PeerNames() = default;
  // INVALID_ARGUMENT naming `flag` and the part that is no name. Empty parts are not.
  static absl::StatusOr<PeerNames> Parse(const std::vector<std::string>& names,
                                         const std::string& flag);

  bool empty() const { return names_.empty(); }
  // Whether one of a certificate's names is one of these. DNS names are compared without regard to
  // case; "*.x" stands for one label before ".x", as in certificates (RFC 6125); URIs are compared
  // byte for byte.
  bool Allow(const std::vector<std::string>& certificate_names) const;
  // OK, or PERMISSION_DENIED with the names that were found and those that were expected.
  absl::Status Check(const std::vector<std::string>& certificate_names) const;

 private:
  std::vector<std::string> names_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_PEER_NAMES_H_
