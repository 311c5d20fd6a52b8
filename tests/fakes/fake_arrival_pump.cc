#include "tests/fakes/fake_arrival_pump.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace tramontane {

bool FakeArrivalPump::Turn(absl::Time until, const std::atomic<bool>& ready) {
  ++turns;
  if (busy) return false;
  if (!arrivals.empty()) {
    const std::function<void()> arrive = std::move(arrivals.front());
    arrivals.pop_front();
    arrive();
    return true;
  }
  const absl::Duration left =
      std::clamp(until - absl::Now(), absl::ZeroDuration(), absl::Minutes(10));
  std::unique_lock<std::mutex> lock(mutex_);
  woken_.wait_for(lock, absl::ToChronoMicroseconds(left), [&ready] { return ready.load(); });
  return true;
}

void FakeArrivalPump::Wake() {
  ++wakes;
  const std::lock_guard<std::mutex> lock(mutex_);
  woken_.notify_one();
}

}  // namespace tramontane
