#include "coordinator/grpc/remote_attention.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/log.h"

namespace tramontane {
namespace {

// A status message travels in an HTTP header; servers and clients accept 8 KiB of those.
constexpr size_t kMaxTroubles = 4;
constexpr size_t kMaxTroubleBytes = 1500;

}  // namespace

RemoteAttention::RemoteAttention(const std::vector<std::string>& addresses,
                                 GrpcAttentionClientOptions options, CoordinatorMetrics* metrics,
                                 std::function<void(bool ready)> on_ready)
    : metrics_(metrics), on_ready_(std::move(on_ready)) {
  options.on_change = [this] {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      changed_ = true;
    }
    condition_.notify_all();
  };
  for (const std::string& address : addresses) {
    clients_.push_back(std::make_unique<GrpcAttentionClient>(address, options));
  }
  thread_ = std::thread([this] { Watch(); });
}

RemoteAttention::~RemoteAttention() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  condition_.notify_all();
  thread_.join();
  clients_.clear();  // they call on_change to their end
}

std::vector<AttentionClient*> RemoteAttention::clients() const {
  std::vector<AttentionClient*> clients;
  for (const auto& client : clients_) clients.push_back(client.get());
  return clients;
}

void RemoteAttention::set_wake(std::function<void()> wake) {
  const std::lock_guard<std::mutex> lock(wake_mutex_);
  wake_ = std::move(wake);
}

absl::Status RemoteAttention::readiness() const {
  std::vector<std::string> troubles;
  for (const auto& client : clients_) {
    const absl::Status ready = client->readiness();
    if (ready.ok()) return absl::OkStatus();
    if (troubles.size() < kMaxTroubles) {
      troubles.emplace_back(ready.message().substr(0, kMaxTroubleBytes));
    }
  }
  if (clients_.size() > kMaxTroubles) {
    troubles.push_back(absl::StrCat("and ", clients_.size() - kMaxTroubles, " more"));
  }
  return absl::UnavailableError(
      absl::StrCat("no attention worker is ready: ", absl::StrJoin(troubles, "; ")));
}

bool RemoteAttention::AwaitFirstAttempts(absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return condition_.wait_for(lock, absl::ToChronoMicroseconds(timeout),
                             [this] { return all_attempted_; });
}

void RemoteAttention::CompareKernels() {
  std::string first;
  for (const auto& client : clients_) {
    const std::string kernels = client->backend();
    if (first.empty()) first = kernels;
    if (kernels.empty() || kernels == first) {
      warned_.erase(client->address());
    } else if (std::exchange(warned_[client->address()], kernels) != kernels) {
      Log(LogLevel::kWarning,
          "attention worker has other kernels: last bits may depend on placement",
          {{"worker", client->address()}, {"expected", first}, {"found", kernels}});
    }
  }
}

void RemoteAttention::Watch() {
  bool was_ready = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    changed_ = false;
    lock.unlock();
    bool all_attempted = true;
    for (const auto& client : clients_) {
      all_attempted = all_attempted && client->attempted();
      metrics_->SetAttentionWorkerUp(client->address(), client->connected());
    }
    CompareKernels();
    const absl::Status ready = readiness();
    if (ready.ok() != was_ready) {
      was_ready = ready.ok();
      Log(was_ready ? LogLevel::kInfo : LogLevel::kWarning,
          was_ready ? "an attention worker is ready" : "no attention worker is ready",
          {{"reason", ready.message()}});
    }
    on_ready_(ready.ok());
    {
      const std::lock_guard<std::mutex> wake_lock(wake_mutex_);
      if (wake_ != nullptr) wake_();
    }
    lock.lock();
    all_attempted_ = all_attempted;
    condition_.notify_all();
    condition_.wait(lock, [this] { return changed_ || stopping_; });
  }
}

}  // namespace tramontane
