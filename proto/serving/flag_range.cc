#include "proto/serving/flag_range.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

absl::Status OutOfRange(const FlagValue& flag, const std::string& expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", std::string(flag.name), "=", flag.value, ": expected ", expected));
}

}  // namespace

absl::Status CheckAtLeast(double least, std::initializer_list<FlagValue> flags) {
  for (const FlagValue& flag : flags) {
    if (!(flag.value >= least)) return OutOfRange(flag, absl::StrCat(least, " or more"));
  }
  return absl::OkStatus();
}

absl::Status CheckMoreThan(double bound, std::initializer_list<FlagValue> flags) {
  for (const FlagValue& flag : flags) {
    if (!(flag.value > bound)) return OutOfRange(flag, absl::StrCat("more than ", bound));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
