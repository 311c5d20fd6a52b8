#include "attention_worker/grpc/worker_lookups.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tramontane {
namespace {

// What the end of a WorkerLookups leaves to a name server that was asked.
constexpr absl::Duration kLastAnswerTime = absl::Seconds(1);

}  // namespace

WorkerLookups::WorkerLookups(WorkerAddressOptions options, std::function<void()> on_found)
    : state_(std::make_shared<State>()) {
  options.resolve = [state = state_, resolve = std::move(options.resolve)](
                        const std::string& target) -> absl::StatusOr<std::vector<std::string>> {
    if (!state->SetResolving(true)) return absl::CancelledError("nobody wants to know any more");
    absl::StatusOr<std::vector<std::string>> addresses = resolve(target);
    state->SetResolving(false);
    return addresses;
  };
  thread_ =
      std::thread([state = state_, addresses = WorkerAddresses(std::move(options)),
                   on_found = std::move(on_found)]() mutable { Run(*state, addresses, on_found); });
}

WorkerLookups::~WorkerLookups() {
  {
    const std::lock_guard<std::mutex> telling(state_->telling);
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->changed.notify_all();
  state_->changed.wait_for(lock, absl::ToChronoMicroseconds(kLastAnswerTime),
                           [this] { return state_->done; });
  state_->changed.wait(lock, [this] { return state_->done || state_->resolving; });
  const bool done = state_->done;
  lock.unlock();
  // The system's resolver cannot be interrupted. What it still needs, the thread keeps.
  done ? thread_.join() : thread_.detach();
}

bool WorkerLookups::State::SetResolving(bool value) {
  const std::lock_guard<std::mutex> lock(mutex);
  resolving = value && !stopping;
  changed.notify_all();
  return resolving;
}

std::optional<WorkerLookups::Found> WorkerLookups::Take() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return std::exchange(state_->found, std::nullopt);
}

WorkerLookups::Found WorkerLookups::TakeFirst() {
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->found.has_value(); });
  return *std::exchange(state_->found, std::nullopt);
}

void WorkerLookups::Tell(State& state, const WorkerAddresses& addresses,
                         const std::function<void()>& on_found) {
  const std::lock_guard<std::mutex> telling(state.telling);
  {
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (state.stopping) return;
    state.found = {addresses.addresses(), addresses.unresolved()};
  }
  state.changed.notify_all();
  on_found();
}

void WorkerLookups::Run(State& state, WorkerAddresses& addresses,
                        const std::function<void()>& on_found) {
  std::unique_lock<std::mutex> lock(state.mutex);
  while (!state.stopping) {
    lock.unlock();
    if (addresses.Update()) Tell(state, addresses, on_found);
    lock.lock();
    state.changed.wait_for(lock, absl::ToChronoMicroseconds(addresses.UntilNext()),
                           [&state] { return state.stopping; });
  }
  state.done = true;
  state.changed.notify_all();
}

}  // namespace tramontane
