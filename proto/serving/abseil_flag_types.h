// To be included first by every file that defines, reads or parses an Abseil flag.
//
// Our symbols are hidden (CMakeLists.txt says why), but Abseil's shared flag library tells a bool
// flag from others by the address of FastTypeTag<bool>: hidden, the program has one of its own, and
// `--flag` without a value is refused.
#ifndef TRAMONTANE_PROTO_SERVING_ABSEIL_FLAG_TYPES_H_
#define TRAMONTANE_PROTO_SERVING_ABSEIL_FLAG_TYPES_H_

#pragma GCC visibility push(default)
#include "absl/base/internal/fast_type_id.h"
#pragma GCC visibility pop

#endif  // TRAMONTANE_PROTO_SERVING_ABSEIL_FLAG_TYPES_H_
