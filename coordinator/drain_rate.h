// How fast a waiting queue drains, as measured.
#ifndef TRAMONTANE_COORDINATOR_DRAIN_RATE_H_
#define TRAMONTANE_COORDINATOR_DRAIN_RATE_H_

#include <optional>

#include "absl/time/time.h"

namespace tramontane {

// Departures per second of saturated time, in which requests wait and none can start: at other
// times departures tell how many requests came, not how many could have been served. What is older
// counts less, by a factor of e for each 30 s of saturated time. Not thread-safe.
class DrainRate {
 public:
  // Requests wait and none can start, from `now` on; or not.
  void SetSaturated(bool saturated, absl::Time now);
  // A request has given its place up.
  void OnDeparture(absl::Time now);
  // Absent until there were enough departures to tell.
  std::optional<double> PerSecond(absl::Time now) const;

 private:
  struct Weighed {
    double departures = 0;
    double seconds = 0;  // of saturated time
  };
  // What was measured, as it weighs at `now`.
  Weighed At(absl::Time now) const;
  void Advance(absl::Time now);

  Weighed weighed_;  // as of updated_
  absl::Time updated_ = absl::InfinitePast();
  bool saturated_ = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_DRAIN_RATE_H_
