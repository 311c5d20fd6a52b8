#include "proto/serving/serving_gate.h"

#include <utility>

#include "absl/time/clock.h"

namespace tramontane {

void ServingGate::Open(std::function<void(bool serving)> set_serving) {
  const std::lock_guard<std::mutex> lock(mutex_);
  set_serving_ = std::move(set_serving);
  set_serving_(ready_);
}

void ServingGate::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (set_serving_) set_serving_(false);
  set_serving_ = nullptr;
}

bool ServingGate::SetReady(bool ready) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (ready == ready_) return false;
  ready_ = ready;
  if (!ready) lost_ = absl::Now();
  if (set_serving_) set_serving_(ready);
  return true;
}

absl::Time ServingGate::last_ready() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ready_ ? absl::Now() : lost_;
}

}  // namespace tramontane
