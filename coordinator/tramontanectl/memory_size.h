// Sizes of memory as people write them.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_MEMORY_SIZE_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_MEMORY_SIZE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tramontane {

// "24GiB", "24Gi", "512MiB": of 1024; "80GB", "80G": of 1000; "1073741824": bytes. A fraction is
// allowed: "1.5GiB". INVALID_ARGUMENT naming `flag` for anything else, or less than a byte.
absl::StatusOr<int64_t> ParseMemorySize(absl::string_view text, absl::string_view flag);

// In bytes, or the largest of Ki, Mi and Gi that gives a whole number: as Kubernetes reads it.
std::string KubernetesQuantity(int64_t bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_MEMORY_SIZE_H_
