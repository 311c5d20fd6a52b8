// The ranges of the sampling fields: proto/inference.proto states them to the client.
#ifndef TRAMONTANE_COORDINATOR_SAMPLING_RANGES_H_
#define TRAMONTANE_COORDINATOR_SAMPLING_RANGES_H_

#include <string_view>

#include "absl/status/status.h"

namespace tramontane {

struct FloatRange {
  std::string_view field;
  float min = 0.0f;
  float max = 0.0f;
  bool excludes_min = false;
};

inline constexpr FloatRange kTemperatureRange = {"temperature", 0.0f, 100.0f};
inline constexpr FloatRange kTopPRange = {"top_p", 0.0f, 1.0f, true};
inline constexpr FloatRange kMinPRange = {"min_p", 0.0f, 1.0f};
inline constexpr FloatRange kRepetitionPenaltyRange = {"repetition_penalty", 0.0f, 100.0f, true};
inline constexpr FloatRange kLogitBiasRange = {"logit_bias", -1000.0f, 1000.0f};

// INVALID_ARGUMENT naming field, value and range where `value` is outside; NaN always is.
absl::Status CheckRange(const FloatRange& range, float value);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SAMPLING_RANGES_H_
