// JSON documents of a checkpoint: input from outside, so bounded in size and depth.
#ifndef TRAMONTANE_MODEL_JSON_DOCUMENT_H_
#define TRAMONTANE_MODEL_JSON_DOCUMENT_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace tramontane {

enum class DuplicateKeys {
  kLastWins,  // as Python's json, which wrote and reads these files
  kRefused,
};

// The object that `text` spells. INVALID_ARGUMENT, naming `source`, for a text past `max_bytes`,
// nesting past 64 levels, what is not JSON or not an object, and for a key given twice in one
// object where those are refused. Throws nothing.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view source,
                                               size_t max_bytes, DuplicateKeys duplicate_keys);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_JSON_DOCUMENT_H_
