// --address_file: how scripts and tests learn the ports that --listen=HOST:0 took.
#ifndef TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_
#define TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace tramontane {

// Writes two lines, the RPC address and the metrics address ("" where there is none), to `path`
// atomically (a temporary file beside it, renamed). "" as path writes nothing. Called once the
// process listens. UNAVAILABLE naming the path where it cannot be written.
absl::Status WriteAddressFile(const std::string& path, const std::string& address,
                              const std::string& metrics_address);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_
