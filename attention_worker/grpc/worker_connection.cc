#include "attention_worker/grpc/worker_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/log.h"

namespace tramontane {

WorkerConnection::WorkerConnection(std::string address, ConnectFunction connect,
                                   std::function<void()> on_change, const ReconnectOptions& options)
    : address_(std::move(address)),
      connect_(std::move(connect)),
      on_change_(std::move(on_change)),
      backoff_(options),
      disconnect_(std::make_shared<Disconnect>()),
      status_(absl::UnavailableError("not yet connected")),
      thread_([this] { Loop(); }) {}

WorkerConnection::~WorkerConnection() {
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    disconnect_->stopping = true;
  }
  disconnect_->condition.notify_all();
  thread_.join();
}

std::shared_ptr<ExpertClient> WorkerConnection::client() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return client_;
}

absl::Status WorkerConnection::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

bool WorkerConnection::attempted() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return attempted_;
}

absl::StatusOr<std::shared_ptr<ExpertClient>> WorkerConnection::Connect() {
  int64_t attempt = 0;
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    attempt = ++disconnect_->attempt;
    disconnect_->lost = false;
  }
  absl::StatusOr<std::shared_ptr<ExpertClient>> client =
      connect_(address_, [disconnect = disconnect_, attempt](const absl::Status& reason) {
        {
          const std::lock_guard<std::mutex> lock(disconnect->mutex);
          if (disconnect->attempt != attempt) return;
          disconnect->lost = true;
          disconnect->reason = reason;
        }
        disconnect->condition.notify_all();
      });
  if (client.ok() && (*client)->description().draining) {
    return absl::UnavailableError("the worker is shutting down");
  }
  return client;
}

void WorkerConnection::Publish(std::shared_ptr<ExpertClient> client, const absl::Status& status) {
  std::shared_ptr<ExpertClient> old;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    old = std::exchange(client_, std::move(client));
    status_ = status;
    attempted_ = true;
  }
  on_change_();
}

bool WorkerConnection::AwaitLoss(absl::Status& reason) {
  std::unique_lock<std::mutex> lock(disconnect_->mutex);
  disconnect_->condition.wait(lock, [this] { return disconnect_->lost || disconnect_->stopping; });
  reason = disconnect_->reason;
  return !disconnect_->stopping;
}

bool WorkerConnection::AwaitRetry(absl::Duration delay) {
  std::unique_lock<std::mutex> lock(disconnect_->mutex);
  return !disconnect_->condition.wait_for(lock, absl::ToChronoMicroseconds(delay),
                                          [this] { return disconnect_->stopping; });
}

void WorkerConnection::Loop() {
  std::string last_failure;  // said once, not at every attempt
  do {
    absl::StatusOr<std::shared_ptr<ExpertClient>> client = Connect();
    absl::Status status = client.status();
    if (client.ok()) {
      const ExpertWorkerDescription& worker = (*client)->description();
      Log(LogLevel::kInfo, "expert worker connected",
          {{"worker", address_}, {"experts", worker.experts.size()}, {"backend", worker.backend}});
      Publish(*std::move(client), absl::OkStatus());
      if (!AwaitLoss(status)) return;
      if (status.ok()) status = absl::UnavailableError("the worker ended the connection");
      backoff_.Reset();
      last_failure.clear();
    }
    const bool refused = status.code() == absl::StatusCode::kFailedPrecondition;
    const std::string failure(status.message());
    if (failure != last_failure) {
      Log(LogLevel::kWarning, refused ? "expert worker refused" : "expert worker not connected",
          {{"worker", address_}, {"reason", failure}});
      last_failure = failure;
    }
    Publish(nullptr, status);
    if (!AwaitRetry(backoff_.Next())) return;
  } while (true);
}

}  // namespace tramontane
