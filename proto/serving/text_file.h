// Small files that operators write: certificates, tokens.
#ifndef TRAMONTANE_PROTO_SERVING_TEXT_FILE_H_
#define TRAMONTANE_PROTO_SERVING_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace tramontane {

// The whole file. FAILED_PRECONDITION, naming the path and why, where it cannot be read or is
// larger than 4 MiB.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TEXT_FILE_H_
