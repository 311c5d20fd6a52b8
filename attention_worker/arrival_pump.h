// Whoever waits for answers brings them in, so that no thread has to wake up another.
#ifndef TRAMONTANE_ATTENTION_WORKER_ARRIVAL_PUMP_H_
#define TRAMONTANE_ATTENTION_WORKER_ARRIVAL_PUMP_H_

#include <atomic>

#include "absl/time/time.h"

namespace tramontane {

// Thread-safe.
class ArrivalPump {
 public:
  virtual ~ArrivalPump() = default;

  // Waits for what arrives next and calls its callbacks on this thread. Returns after one arrival,
  // at `until`, or once `ready` is set and Wake is called. False, at once: another thread is here,
  // and calls them.
  virtual bool Turn(absl::Time until, const std::atomic<bool>& ready) = 0;

  // Ends another thread's turn whose `ready` has been set.
  virtual void Wake() = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ARRIVAL_PUMP_H_
