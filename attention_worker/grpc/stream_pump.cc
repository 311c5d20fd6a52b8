#include "attention_worker/grpc/stream_pump.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "proto/serving/polling.h"

namespace tramontane {
namespace {

using std::chrono::steady_clock;

// For so long after a turn the next one is expected, and the pump's own thread does not poll. Steps
// on a device, which have no time to lose, wait for experts more often.
constexpr steady_clock::duration kNextTurn = std::chrono::milliseconds(1);
// How long to wait for the pump's own thread to leave; it takes as long as to wake up.
constexpr absl::Duration kLongestWait = absl::Minutes(1);

// The pump whose events this thread handles as its turn.
thread_local const StreamPump* turns_in = nullptr;

}  // namespace

// An event that nothing waits for: whoever polls comes out.
class StreamPump::Kick final : public Event {
 public:
  static void Send(StreamPump* pump) {
    auto* const kick = new Kick;
    // Not at this time, which is rounded up to the next millisecond.
    kick->alarm_.Set(pump->queue(), gpr_inf_past(GPR_CLOCK_MONOTONIC), pump->Tag(kick));
  }
  void OnEvent(bool /*ok*/) override { delete this; }

 private:
  grpc::Alarm alarm_;
};

StreamPump::StreamPump(absl::Duration spin) : spin_(spin), thread_([this] { RunOwnThread(); }) {}

StreamPump::~StreamPump() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return num_streams_ == 0 && !turning_; });
  }
  queue_.Shutdown();
  thread_.join();
}

void StreamPump::BeginStream() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++num_streams_;
}

void StreamPump::EndStream() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --num_streams_;
  changed_.notify_all();
}

void StreamPump::BeginWish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++num_wishes_;
  if (OwnShallPoll() && !own_polls_) changed_.notify_all();
}

void StreamPump::EndWish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --num_wishes_;
}

void StreamPump::HandleBeforePoll() {
  handling_.swap(before_next_poll_);  // more may come of it
  for (Event* event : handling_) event->OnEvent(true);
  handling_.clear();
}

bool StreamPump::Turn(absl::Time until, const std::atomic<bool>& ready) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (turning_) return false;
  turning_ = true;
  if (!own_polls_ || SendOwnAway(lock, until)) {
    lock.unlock();
    HandleBeforePoll();
    void* tag = nullptr;
    bool ok = false;
    if (Next(until, ready, &tag, &ok)) {
      turns_in = this;
      tags_.Handle(tag, ok);
      turns_in = nullptr;
    }
    lock.lock();
  }
  turning_ = false;
  left_ = steady_clock::now();
  if (stopping_ || OwnShallPoll()) changed_.notify_all();
  return true;
}

bool StreamPump::SendOwnAway(std::unique_lock<std::mutex>& lock, absl::Time until) {
  // It goes after the kick, or after the event that it handles now.
  Kick::Send(this);
  const absl::Duration left = std::clamp(until - absl::Now(), absl::ZeroDuration(), kLongestWait);
  return changed_.wait_for(lock, absl::ToChronoMicroseconds(left), [this] { return !own_polls_; });
}

bool StreamPump::Next(absl::Time until, const std::atomic<bool>& ready, void** tag, bool* ok) {
  using Queue = grpc::CompletionQueue;
  if (ready.load()) return false;
  if (spin_ > absl::ZeroDuration()) {
    const absl::Time end = std::min(until, absl::Now() + spin_);
    do {
      const Queue::NextStatus found = queue_.AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
      if (found != Queue::TIMEOUT) return found == Queue::GOT_EVENT;
      if (ready.load()) return false;
      BetweenLooks();
    } while (absl::Now() < end);
  }
  // gRPC takes what is before the epoch for the infinite future.
  const auto end = absl::ToChronoTime(std::max(until, absl::UnixEpoch()));
  return queue_.AsyncNext(tag, ok, end) == Queue::GOT_EVENT;
}

void StreamPump::Wake() {
  if (turns_in == this) return;  // its turn ends with what it handles
  const std::lock_guard<std::mutex> lock(mutex_);
  // One that still waits for the pump's own thread to leave looks at `ready` after that.
  if (turning_ && !own_polls_) Kick::Send(this);
}

bool StreamPump::OwnShallPoll() const {
  if (turning_) return false;
  return stopping_ || num_wishes_ > 0 || steady_clock::now() >= left_ + kNextTurn;
}

void StreamPump::RunOwnThread() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    while (!OwnShallPoll()) changed_.wait_for(lock, kNextTurn);
    own_polls_ = true;
    lock.unlock();
    HandleBeforePoll();
    void* tag = nullptr;
    bool ok = false;
    const bool found = queue_.Next(&tag, &ok);
    if (found) tags_.Handle(tag, ok);
    lock.lock();
    own_polls_ = false;
    changed_.notify_all();
    if (!found) return;
  }
}

}  // namespace tramontane
