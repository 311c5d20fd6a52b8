// Time that passes evenly, whatever is done to the system's clock.
#ifndef TRAMONTANE_MODEL_STEADY_CLOCK_H_
#define TRAMONTANE_MODEL_STEADY_CLOCK_H_

#include <chrono>

#include "absl/time/time.h"

namespace tramontane {

// To be compared with itself alone: it is no time of day. From any thread.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_STEADY_CLOCK_H_
