#include "attention_worker/grpc/worker_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/log.h"

namespace tramontane {

WorkerConnection::WorkerConnection(std::string address, ConnectFunction connect,
                                   ProbeFunction probe, std::function<void()> on_change,
                                   const WorkerReturnOptions& options)
    : address_(std::move(address)),
      connect_(std::move(connect)),
      probe_(std::move(probe)),
      on_change_(std::move(on_change)),
      good_time_(options.good_time),
      reconnect_(options.reconnect),
      set_aside_(options.set_aside),
      disconnect_(std::make_shared<Disconnect>()) {
  snapshot_.address = address_;
  snapshot_.since = absl::Now();
  thread_ = std::thread([this] {
    Loop();
    stopped_ = true;
    on_change_();
  });
}

WorkerConnection::~WorkerConnection() {
  Stop();
  thread_.join();
}

void WorkerConnection::Stop() {
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    disconnect_->stopping = true;
  }
  disconnect_->condition.notify_all();
}

void WorkerConnection::Hurry() {
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    disconnect_->hurry = true;
  }
  disconnect_->condition.notify_all();
}

std::shared_ptr<ExpertClient> WorkerConnection::client() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return snapshot_.client;
}

WorkerSnapshot WorkerConnection::snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return snapshot_;
}

bool WorkerConnection::attempted() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return attempted_;
}

bool WorkerConnection::SetAside(const std::shared_ptr<ExpertClient>& client,
                                const absl::Status& reason) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (client == nullptr || snapshot_.client != client) return false;
    snapshot_.client = nullptr;  // `client` keeps it
    snapshot_.state = WorkerState::kSetAside;
    snapshot_.since = snapshot_.last_error_at = absl::Now();
    snapshot_.last_error = reason;
    ++snapshot_.num_set_aside;
  }
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    disconnect_->lost = disconnect_->aside = true;
    disconnect_->reason = reason;
    ++disconnect_->attempt;  // what its end has to say is of no interest any more
  }
  disconnect_->condition.notify_all();
  return true;
}

absl::StatusOr<std::shared_ptr<ExpertClient>> WorkerConnection::Connect() {
  int64_t attempt = 0;
  {
    const std::lock_guard<std::mutex> lock(disconnect_->mutex);
    attempt = ++disconnect_->attempt;
    disconnect_->lost = disconnect_->aside = disconnect_->hurry = false;
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
    return DrainingError("the worker is shutting down");
  }
  return client;
}

void WorkerConnection::SetState(WorkerState state, std::shared_ptr<ExpertClient> client,
                                const absl::Status& status) {
  std::shared_ptr<ExpertClient> old;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const absl::Time now = absl::Now();
    if (snapshot_.state != state) snapshot_.since = now;
    if (state == WorkerState::kSetAside) ++snapshot_.num_probe_failures;
    const int64_t failures = snapshot_.num_set_aside + snapshot_.num_probe_failures;
    if (state == WorkerState::kServing && failures > failures_at_return_) {
      failures_at_return_ = failures;
      ++snapshot_.num_returns;
    }
    snapshot_.state = state;
    if (client != nullptr) {
      snapshot_.description =
          std::make_shared<const ExpertWorkerDescription>(client->description());
    }
    if (state != WorkerState::kServing) client = nullptr;
    old = std::exchange(snapshot_.client, std::move(client));
    if (!status.ok()) {
      snapshot_.last_error = status;
      snapshot_.last_error_at = now;
    }
    if (state != WorkerState::kProbing) attempted_ = true;
  }
  on_change_();
}

absl::Status WorkerConnection::AwaitLoss(bool& aside) {
  std::unique_lock<std::mutex> lock(disconnect_->mutex);
  disconnect_->condition.wait(lock, [this] { return disconnect_->lost || disconnect_->stopping; });
  if (disconnect_->stopping) return absl::OkStatus();
  aside = disconnect_->aside;
  return disconnect_->reason.ok() ? absl::UnavailableError("the worker ended the connection")
                                  : disconnect_->reason;
}

bool WorkerConnection::AwaitRetry(absl::Duration delay) {
  const absl::Time due = absl::Now() + delay;
  std::unique_lock<std::mutex> lock(disconnect_->mutex);
  disconnect_->condition.wait_for(lock, absl::ToChronoMicroseconds(delay),
                                  [this] { return disconnect_->stopping || disconnect_->hurry; });
  if (disconnect_->stopping || !disconnect_->hurry) return !disconnect_->stopping;
  const absl::Duration left = std::min(due - absl::Now(), reconnect_.Next());
  return !disconnect_->condition.wait_for(lock, absl::ToChronoMicroseconds(left),
                                          [this] { return disconnect_->stopping; });
}

void WorkerConnection::LogFailure(const absl::Status& status) {
  const std::string failure(status.message());
  if (std::exchange(last_failure_, failure) != failure) {
    const bool refused = status.code() == absl::StatusCode::kFailedPrecondition;
    Log(IsDraining(status) ? LogLevel::kInfo : LogLevel::kWarning,
        IsDraining(status) ? "expert worker draining"
        : refused          ? "expert worker refused"
                           : "expert worker not connected",
        {{"worker", address_}, {"reason", failure}});
  }
}

absl::Duration WorkerConnection::NoteFailure(const absl::Status& status) {
  LogFailure(status);
  SetState(IsDraining(status) ? WorkerState::kDraining : WorkerState::kGone, nullptr, status);
  return reconnect_.Next();
}

absl::Duration WorkerConnection::NoteProbeFailure(const absl::Status& status) {
  LogFailure(status);
  if (absl::IsFailedPrecondition(status) || absl::IsInternal(status)) ++wrong_answers_;
  SetState(WorkerState::kSetAside, nullptr, status);
  return set_aside_.Next();
}

bool WorkerConnection::Serve(std::shared_ptr<ExpertClient> client, absl::Duration& delay) {
  const ExpertWorkerDescription& worker = client->description();
  Log(LogLevel::kInfo, "expert worker serves",
      {{"worker", address_}, {"experts", worker.experts.size()}, {"backend", worker.backend}});
  last_failure_.clear();
  const absl::Time begin = absl::Now();
  SetState(WorkerState::kServing, std::move(client), absl::OkStatus());
  bool aside = false;
  const absl::Status loss = AwaitLoss(aside);
  if (loss.ok()) {
    SetState(WorkerState::kGone, nullptr, loss);
    return false;
  }
  if (absl::Now() - begin >= good_time_) {
    reconnect_.Reset();
    set_aside_.Reset();
    wrong_answers_ = 0;
  }
  if (!aside) {
    delay = NoteFailure(loss);
    return true;
  }
  if (loss.code() == absl::StatusCode::kInternal) ++wrong_answers_;
  // A broken stream costs nobody time when it is tried again: nobody answers, or a probe does.
  delay = absl::IsUnavailable(loss) ? reconnect_.Next() : set_aside_.Next();
  Log(LogLevel::kWarning, "expert worker set aside",
      {{"worker", address_},
       {"reason", loss.message()},
       {"code", absl::StatusCodeToString(loss.code())},
       {"retry_s", absl::ToDoubleSeconds(delay)}});
  return true;
}

void WorkerConnection::Loop() {
  absl::Duration delay;
  do {
    absl::StatusOr<std::shared_ptr<ExpertClient>> client = Connect();
    if (!client.ok()) {
      delay = NoteFailure(client.status());
      continue;
    }
    SetState(WorkerState::kProbing, *client, absl::OkStatus());
    const absl::Status probed =
        probe_ == nullptr ? absl::OkStatus() : probe_(*client, wrong_answers_);
    if (probed.ok()) {
      if (!Serve(*std::move(client), delay)) return;
      continue;
    }
    delay = NoteProbeFailure(probed);
  } while (AwaitRetry(delay));
}

}  // namespace tramontane
