// --address_file: how scripts and tests learn the ports that --listen=HOST:0 took.
#ifndef TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_
#define TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace tramontane {

struct ProcessAddresses {
  std::string rpc;
  std::string metrics;  // "" where there is none
  std::string health;   // of the health port; "" where there is none
};

// Writes a line for each address to `path` atomically (a temporary file beside it, renamed). "" as
// path writes nothing. Called once the process listens. UNAVAILABLE naming the path where it cannot
// be written.
absl::Status WriteAddressFile(const std::string& path, const ProcessAddresses& addresses);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_ADDRESS_FILE_H_
