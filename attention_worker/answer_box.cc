#include "attention_worker/answer_box.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

// A wait is cut into parts of at most this, so that no time overflows.
constexpr absl::Duration kLongestWait = absl::Minutes(10);

}  // namespace

bool AnswerBox::Put(size_t batch, absl::StatusOr<ExpertBatchResult> answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  failed_ |= !answer.ok();
  arrived_.push_back({batch, std::move(answer)});
  if (Enough()) {
    ready_.store(true, std::memory_order_relaxed);
    enough_.notify_one();
  }
  return true;
}

std::vector<ArrivedAnswer> AnswerBox::TakeUntil(size_t count, absl::Time until) {
  std::unique_lock<std::mutex> lock(mutex_);
  wanted_ = count;
  ready_.store(Enough(), std::memory_order_relaxed);
  if (spin_ > absl::ZeroDuration() && !Enough()) {
    lock.unlock();
    Spin(until);
    lock.lock();
  }
  while (!Enough()) {
    const absl::Duration left = std::min(until - absl::Now(), kLongestWait);
    if (left <= absl::ZeroDuration()) break;
    enough_.wait_for(lock, absl::ToChronoMicroseconds(left) + std::chrono::microseconds(1));
  }
  failed_ = false;
  return std::exchange(arrived_, {});
}

void AnswerBox::Spin(absl::Time until) const {
  const absl::Time end = std::min(until, absl::Now() + spin_);
  while (!ready_.load(std::memory_order_relaxed) && absl::Now() < end) std::this_thread::yield();
}

std::vector<ArrivedAnswer> AnswerBox::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  return std::exchange(arrived_, {});
}

}  // namespace tramontane
