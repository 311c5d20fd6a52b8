// Threads that wait for a hop's messages awake: a processor that sleeps takes long to wake up.
#ifndef TRAMONTANE_PROTO_SERVING_HOP_SPIN_H_
#define TRAMONTANE_PROTO_SERVING_HOP_SPIN_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tramontane {

// INVALID_ARGUMENT where --hop_spin_us is out of range.
absl::Status CheckHopSpinFlag();

// What the flag says; zero, with a warning in the log, for fewer than four processors.
absl::Duration HopSpinFromFlag(int num_processors);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_HOP_SPIN_H_
