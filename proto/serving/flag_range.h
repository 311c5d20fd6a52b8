// Flags that are out of range, named with what was found.
#ifndef TRAMONTANE_PROTO_SERVING_FLAG_RANGE_H_
#define TRAMONTANE_PROTO_SERVING_FLAG_RANGE_H_

#include <initializer_list>
#include <string_view>

#include "absl/status/status.h"

namespace tramontane {

struct FlagValue {
  template <typename Number>
  FlagValue(std::string_view flag, Number number)
      : name(flag), value(static_cast<double>(number)) {}
  std::string_view name;
  double value;
};

// INVALID_ARGUMENT, "--NAME=VALUE: expected LEAST or more", for the first that is less, or no
// number.
absl::Status CheckAtLeast(double least, std::initializer_list<FlagValue> flags);
// The same for the first that is `bound` or less: "expected more than BOUND".
absl::Status CheckMoreThan(double bound, std::initializer_list<FlagValue> flags);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_FLAG_RANGE_H_
