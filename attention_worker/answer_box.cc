#include "attention_worker/answer_box.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

// A wait is cut into parts of at most this, so that no time overflows.
constexpr absl::Duration kLongestWait = absl::Minutes(10);
// How soon to look whether the pump has been left by another thread.
constexpr absl::Duration kOthersTurn = absl::Milliseconds(1);

}  // namespace

bool AnswerBox::Put(size_t batch, absl::StatusOr<ExpertBatchResult> answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  failed_ |= !answer.ok();
  arrived_.push_back({batch, std::move(answer)});
  if (Enough()) {
    ready_.store(true);
    enough_.notify_one();
    if (pumping_) pump_->Wake();
  }
  return true;
}

std::vector<ArrivedAnswer> AnswerBox::TakeUntil(size_t count, absl::Time until) {
  std::unique_lock<std::mutex> lock(mutex_);
  wanted_ = count;
  ready_.store(Enough());
  while (!Enough()) {
    const absl::Duration left = std::min(until - absl::Now(), kLongestWait);
    if (left <= absl::ZeroDuration()) break;
    Wait(lock, left);
  }
  failed_ = false;
  return std::exchange(arrived_, {});
}

void AnswerBox::Wait(std::unique_lock<std::mutex>& lock, absl::Duration left) {
  if (pump_ != nullptr) {
    pumping_ = true;
    lock.unlock();
    const bool turned = pump_->Turn(absl::Now() + left, ready_);
    lock.lock();
    pumping_ = false;
    if (turned) return;
    left = std::min(left, kOthersTurn);
  }
  enough_.wait_for(lock, absl::ToChronoMicroseconds(left) + std::chrono::microseconds(1),
                   [this] { return Enough(); });
}

std::vector<ArrivedAnswer> AnswerBox::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  return std::exchange(arrived_, {});
}

}  // namespace tramontane
