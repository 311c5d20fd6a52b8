// How long an attention worker's steps take.
#ifndef TRAMONTANE_COORDINATOR_STEP_PACE_H_
#define TRAMONTANE_COORDINATOR_STEP_PACE_H_

#include <array>
#include <cstddef>
#include <optional>

#include "absl/time/time.h"

namespace tramontane {

// Learns it by the number of rows, since a chunk of a prompt takes many times as long as a decode
// step. Not thread-safe.
class StepPace {
 public:
  // No step that takes less is late.
  static constexpr absl::Duration kShortestLimit = absl::Seconds(1);

  // rows: at least one.
  void OnStep(int rows, absl::Duration took);

  // A step of so many rows that takes longer is late. Infinite before any step.
  absl::Duration Limit(int rows) const;

 private:
  // What a step of so many rows takes; absent before any.
  std::optional<absl::Duration> Usual(int rows) const;

  // Moving averages: steps of [2^i, 2^(i+1)) rows.
  std::array<std::optional<absl::Duration>, 31> usual_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_STEP_PACE_H_
