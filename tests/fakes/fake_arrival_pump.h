// An arrival pump without streams.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_ARRIVAL_PUMP_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_ARRIVAL_PUMP_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "absl/time/time.h"
#include "attention_worker/arrival_pump.h"

namespace tramontane {

// Calls one of `arrivals` each turn; once there are none, a turn waits to be woken. Turn and Wake
// may be called from any thread; what is not atomic is set before.
class FakeArrivalPump final : public ArrivalPump {
 public:
  bool Turn(absl::Time until, const std::atomic<bool>& ready) override;
  void Wake() override;

  bool busy = false;  // as if another thread were in Turn
  std::deque<std::function<void()>> arrivals;
  std::atomic<int> turns{0};
  std::atomic<int> wakes{0};

 private:
  std::mutex mutex_;
  std::condition_variable woken_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_ARRIVAL_PUMP_H_
