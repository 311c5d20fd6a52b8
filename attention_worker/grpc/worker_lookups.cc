#include "attention_worker/grpc/worker_lookups.h"

#include <utility>

#include "absl/time/time.h"

namespace tramontane {

WorkerLookups::WorkerLookups(WorkerAddressOptions options, std::function<void()> on_found)
    : on_found_(std::move(on_found)), addresses_(std::move(options)), thread_([this] { Loop(); }) {}

WorkerLookups::~WorkerLookups() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<WorkerLookups::Found> WorkerLookups::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(found_, std::nullopt);
}

WorkerLookups::Found WorkerLookups::TakeFirst() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return found_.has_value(); });
  return *std::exchange(found_, std::nullopt);
}

void WorkerLookups::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    if (addresses_.Update()) {
      {
        const std::lock_guard<std::mutex> found_lock(mutex_);
        found_ = {addresses_.addresses(), addresses_.unresolved()};
      }
      changed_.notify_all();
      on_found_();
    }
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMicroseconds(addresses_.UntilNext()),
                      [this] { return stopping_; });
  }
}

}  // namespace tramontane
