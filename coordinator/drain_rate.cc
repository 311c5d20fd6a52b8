#include "coordinator/drain_rate.h"

#include <cmath>

namespace tramontane {
namespace {

constexpr double kWindowSeconds = 30;
// So many departures must weigh before their rate means anything.
constexpr double kFewestDepartures = 4;

}  // namespace

DrainRate::Weighed DrainRate::At(absl::Time now) const {
  if (!saturated_ || now <= updated_) return weighed_;
  const double kept = std::exp(-absl::ToDoubleSeconds(now - updated_) / kWindowSeconds);
  return {.departures = weighed_.departures * kept,
          .seconds = weighed_.seconds * kept + kWindowSeconds * (1 - kept)};
}

void DrainRate::Advance(absl::Time now) {
  weighed_ = At(now);
  if (now > updated_) updated_ = now;
}

void DrainRate::SetSaturated(bool saturated, absl::Time now) {
  Advance(now);
  saturated_ = saturated;
}

void DrainRate::OnDeparture(absl::Time now) {
  Advance(now);
  if (saturated_) ++weighed_.departures;
}

std::optional<double> DrainRate::PerSecond(absl::Time now) const {
  const Weighed weighed = At(now);
  if (weighed.departures < kFewestDepartures || weighed.seconds <= 0) return std::nullopt;
  return weighed.departures / weighed.seconds;
}

}  // namespace tramontane
