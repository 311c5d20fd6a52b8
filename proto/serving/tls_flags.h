// --tls_cert, --tls_key, --tls_ca: who a server process is to the others.
#ifndef TRAMONTANE_PROTO_SERVING_TLS_FLAGS_H_
#define TRAMONTANE_PROTO_SERVING_TLS_FLAGS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "proto/serving/certificates.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

// The flags' paths.
CertificateFiles TlsFlags();

// Null where none of the flags is given: plaintext. Fails as TlsIdentity::Load, and with
// INVALID_ARGUMENT where the certificate, or with `needs_ca` the CA, is missing beside the others.
absl::StatusOr<std::shared_ptr<TlsIdentity>> TlsIdentityFromFlags(bool needs_ca);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TLS_FLAGS_H_
