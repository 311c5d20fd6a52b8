// A checkpoint's identity, cheap enough to compute at every start.
#ifndef TRAMONTANE_MODEL_CHECKPOINT_DIGEST_H_
#define TRAMONTANE_MODEL_CHECKPOINT_DIGEST_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/safetensors.h"

namespace tramontane {

// Lower-case hex SHA-256 over `config`'s sizes and, in the order of their names, over every tensor
// of `file_of_tensor`: name, dtype, shape and three probes of at most 64 bytes. The exact input is
// written down in docs/checkpoints.md. Reads the probes from the files, not through their mappings.
// UNAVAILABLE where a file cannot be read.
absl::StatusOr<std::string> ComputeCheckpointDigest(
    const MixtralConfig& config,
    const std::map<std::string, const SafetensorsFile*, std::less<>>& file_of_tensor);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_CHECKPOINT_DIGEST_H_
