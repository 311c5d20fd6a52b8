#include "coordinator/sampling_ranges.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace tramontane {

absl::Status CheckRange(const FloatRange& range, float value) {
  const bool above_min = range.excludes_min ? value > range.min : value >= range.min;
  if (above_min && value <= range.max) return absl::OkStatus();  // false for NaN
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(range.field), " is ", value, "; expected a number in ",
                   range.excludes_min ? "(" : "[", range.min, ", ", range.max, "]"));
}

}  // namespace tramontane
