#include "attention_worker/silence_limit.h"

#include <algorithm>

namespace tramontane {
namespace {

// Before the first answer: weights may have to come from disk.
constexpr absl::Duration kBeforeMeasured = absl::Seconds(3);
// What a busy machine may add to any latency without anything being wrong.
constexpr absl::Duration kFloor = absl::Milliseconds(300);
constexpr double kTimesExpected = 3;
constexpr double kTimesDeviation = 4;

constexpr double kMostPatience = 8;
// An alarm is half forgotten after some 70 answers: a token or two of a large model.
constexpr double kCalm = 0.99;

}  // namespace

absl::Duration SilenceLimit::Expected(const ReplicaLoad::Reading& worker, double units_ahead) {
  return absl::Seconds(worker.seconds_per_unit.value_or(0) * units_ahead);
}

absl::Duration SilenceLimit::Of(const ReplicaLoad::Reading& worker, double units_ahead) const {
  if (!worker.seconds_per_unit.has_value()) return kBeforeMeasured * patience_;
  return patience_ * (kFloor + kTimesExpected * Expected(worker, units_ahead) +
                      absl::Seconds(kTimesDeviation * worker.deviation * units_ahead));
}

void SilenceLimit::OnSilence() { patience_ = std::min(kMostPatience, 2 * patience_); }

void SilenceLimit::OnAnswer() { patience_ = std::max(1.0, kCalm * patience_); }

}  // namespace tramontane
