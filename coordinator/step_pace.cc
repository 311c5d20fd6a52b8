#include "coordinator/step_pace.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace tramontane {
namespace {

// A step is late that takes so many times as long as steps of its size do: those over a long
// context take longer than the others.
constexpr int kLateFactor = 4;
constexpr int kWeight = 8;  // a step counts one in so many of the average

size_t SizeClass(int rows) {
  return static_cast<size_t>(std::bit_width(static_cast<uint32_t>(rows)) - 1);
}

}  // namespace

std::optional<absl::Duration> StepPace::Usual(int rows) const {
  const size_t own = SizeClass(rows);
  // Of smaller steps: at most as much longer as there are more rows.
  for (size_t smaller = own + 1; smaller-- > 0;) {
    if (usual_[smaller].has_value()) return *usual_[smaller] * (int64_t{1} << (own - smaller));
  }
  for (size_t larger = own + 1; larger < usual_.size(); ++larger) {
    if (usual_[larger].has_value()) return usual_[larger];
  }
  return std::nullopt;
}

absl::Duration StepPace::Limit(int rows) const {
  const std::optional<absl::Duration> usual = Usual(rows);
  if (!usual.has_value()) return absl::InfiniteDuration();
  return std::max(kShortestLimit, *usual * kLateFactor);
}

void StepPace::OnStep(int rows, absl::Duration took) {
  std::optional<absl::Duration>& usual = usual_[SizeClass(rows)];
  // One that hung says little of the next.
  took = std::min(took, Limit(rows));
  usual = usual.has_value() ? *usual + (took - *usual) / kWeight : took;
}

}  // namespace tramontane
