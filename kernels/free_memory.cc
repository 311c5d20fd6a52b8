#include "kernels/free_memory.h"

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace tramontane {

absl::Status CheckFreeBytes(Backend& backend, int64_t needed, std::string_view what,
                            std::string_view advice) {
  const absl::StatusOr<std::optional<int64_t>> asked = backend.FreeBytes();
  if (!asked.ok()) return asked.status();
  const std::optional<int64_t> free_bytes = *asked;
  if (!free_bytes.has_value() || *free_bytes >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("expected at least ", needed, " bytes of free device memory for ",
                   absl::string_view(what.data(), what.size()), ", found ", *free_bytes, "; ",
                   absl::string_view(advice.data(), advice.size())));
}

}  // namespace tramontane
