#include "attention_worker/grpc/worker_discovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/log.h"
#include "model/steady_clock.h"

namespace tramontane {
namespace {

// A status message travels in an HTTP header; servers and clients accept 8 KiB of those.
constexpr size_t kMaxMissingText = 1500;
constexpr size_t kMaxTroubles = 4;

std::string Shortened(std::string text, size_t limit) {
  if (text.size() <= limit) return text;
  text.resize(text.rfind(';', limit) == std::string::npos ? limit : text.rfind(';', limit));
  return absl::StrCat(text, "; and more");
}

// Of each worker that does not serve: why.
std::vector<std::string> Troubles(const std::vector<WorkerSnapshot>& workers) {
  std::vector<std::string> troubles;
  for (const WorkerSnapshot& worker : workers) {
    if (worker.state == WorkerState::kServing) continue;
    const std::string why = worker.last_error.ok() ? std::string(WorkerStateName(worker.state))
                                                   : std::string(worker.last_error.message());
    const bool named = why.find(worker.address) != std::string::npos;
    troubles.push_back(named ? why : absl::StrCat("worker ", worker.address, ": ", why));
  }
  return troubles;
}

// Whether the worker, when it was there, had an expert that nobody has now.
bool IsMissed(const WorkerSnapshot& worker, const ExpertPlacement& placement) {
  if (worker.description == nullptr) return false;
  const auto& experts = worker.description->experts;
  return std::any_of(experts.begin(), experts.end(), [&](const auto& hosted) {
    return hosted.layer >= 0 && hosted.layer < placement.num_layers && hosted.expert >= 0 &&
           hosted.expert < placement.num_experts &&
           placement.Replicas(hosted.layer, hosted.expert).empty();
  });
}

}  // namespace

WorkerDiscovery::WorkerDiscovery(WorkerDiscoveryOptions options, DiscoveryObserver* observer)
    : options_(std::move(options)),
      observer_(observer),
      placement_(BuildPlacement(options_.num_layers, options_.num_experts, {})),
      lookups_(options_.addresses, [this] { NoteChange(); }),
      thread_([this] { Loop(); }) {}

WorkerDiscovery::~WorkerDiscovery() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::shared_ptr<const ExpertPlacement> WorkerDiscovery::placement() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return placement_;
}

absl::Status WorkerDiscovery::readiness() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::string missing = placement_->MissingExperts();
  if (missing.empty()) return absl::OkStatus();
  std::string message =
      absl::StrCat("no expert worker hosts ", Shortened(missing, kMaxMissingText));
  size_t told = 0;
  for (const auto& [target, why] : unresolved_) {
    if (told++ < kMaxTroubles) absl::StrAppend(&message, "; ", why);
  }
  for (const std::string& trouble : troubles_) {
    if (told++ < kMaxTroubles) absl::StrAppend(&message, "; ", trouble);
  }
  if (told > kMaxTroubles) {
    absl::StrAppend(&message, "; and ", told - kMaxTroubles, " more workers are not connected");
  }
  return absl::UnavailableError(message);
}

std::vector<WorkerSnapshot> WorkerDiscovery::workers() const {
  std::vector<WorkerSnapshot> workers;
  const std::lock_guard<std::mutex> lock(membership_mutex_);
  for (const auto& [address, connection] : connections_) workers.push_back(connection->snapshot());
  for (const Leaving& leaving : leaving_) workers.push_back(leaving.last);
  return workers;
}

std::shared_ptr<const ExpertPlacement> WorkerDiscovery::AwaitChange(
    const std::shared_ptr<const ExpertPlacement>& seen, absl::Time deadline) const {
  std::unique_lock<std::mutex> lock(mutex_);
  const absl::Time end = SteadyNow() + (deadline - absl::Now());
  for (absl::Time now = SteadyNow(); placement_ == seen && now < end; now = SteadyNow()) {
    // An hour: what the condition's own clock can count for sure.
    const absl::Duration left = std::min(end - now, absl::Hours(1));
    placement_changed_.wait_for(lock, absl::ToChronoMicroseconds(left));
  }
  return placement_;
}

void WorkerDiscovery::SetAside(const std::shared_ptr<ExpertClient>& client,
                               const absl::Status& reason) {
  const std::lock_guard<std::mutex> lock(membership_mutex_);
  for (const auto& [address, connection] : connections_) {
    if (connection->SetAside(client, reason)) break;
  }
  // Also where the connection has seen the loss itself: the placement may not have followed yet.
  Rebuild();
}

bool WorkerDiscovery::AwaitFirstAttempts(absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return attempted_.wait_for(lock, absl::ToChronoMicroseconds(timeout),
                             [this] { return all_attempted_; });
}

void WorkerDiscovery::NoteChange() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    news_ = true;
  }
  changed_.notify_all();
}

void WorkerDiscovery::Loop() {
  bool looked_up = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    news_ = false;
    lock.unlock();
    if (std::optional<WorkerLookups::Found> found = lookups_.Take()) {
      UpdateConnections(found->addresses);
      const std::lock_guard<std::mutex> found_lock(mutex_);
      unresolved_ = std::move(found->unresolved);
      looked_up = true;
    }
    if (looked_up) {
      ForgetLeft();
      const std::lock_guard<std::mutex> membership_lock(membership_mutex_);
      Rebuild();
    }
    lock.lock();
    // Those that leave do not say when their last answer has come.
    changed_.wait_for(lock, absl::ToChronoMicroseconds(options_.addresses.list_interval),
                      [this] { return stopping_ || news_; });
  }
  lock.unlock();
  std::map<std::string, std::unique_ptr<WorkerConnection>> connections;
  std::vector<Leaving> leaving;
  const std::lock_guard<std::mutex> membership_lock(membership_mutex_);
  connections.swap(connections_);  // their ends wait for their threads
  leaving.swap(leaving_);
}

ConnectFunction WorkerDiscovery::ConnectUnlessMixed() {
  if (options_.allow_mixed_backends) return options_.connect;
  return [this](const std::string& address, std::function<void(const absl::Status&)> on_disconnect)
             -> absl::StatusOr<std::shared_ptr<ExpertClient>> {
    absl::StatusOr<std::shared_ptr<ExpertClient>> client =
        options_.connect(address, std::move(on_disconnect));
    if (!client.ok()) return client;
    const absl::Status fits = replica_backends_.Check(address, (*client)->description());
    if (!fits.ok()) return fits;
    return client;
  };
}

// Claimed by workers that have passed: one that answers wrongly decides nothing.
ProbeFunction WorkerDiscovery::ProbeAndClaim() {
  if (options_.allow_mixed_backends) return options_.probe;
  return [this](const std::shared_ptr<ExpertClient>& client, int wrong_answers) {
    absl::Status probed =
        options_.probe == nullptr ? absl::OkStatus() : options_.probe(client, wrong_answers);
    if (!probed.ok()) return probed;
    const absl::Status claimed = replica_backends_.Claim(client->address(), client->description());
    // No wrong answer: the next attempt to connect is refused, or is not.
    return claimed.ok() ? claimed : absl::UnavailableError(claimed.message());
  };
}

std::unique_ptr<WorkerConnection> WorkerDiscovery::Connect(const std::string& address) {
  Log(LogLevel::kInfo, "expert worker found", {{"worker", address}});
  return std::make_unique<WorkerConnection>(
      address, ConnectUnlessMixed(), ProbeAndClaim(), [this] { NoteChange(); },
      options_.worker_return);
}

void WorkerDiscovery::UpdateConnections(const std::set<std::string>& addresses) {
  const std::lock_guard<std::mutex> lock(membership_mutex_);
  for (const std::string& address : addresses) {
    if (connections_.count(address) == 0) connections_[address] = Connect(address);
  }
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (addresses.count(it->first) != 0) {
      ++it;
      continue;
    }
    Log(LogLevel::kInfo, "expert worker leaves", {{"worker", it->first}});
    Leaving leaving;
    leaving.connection = std::move(it->second);
    leaving.last = leaving.connection->snapshot();
    leaving.connection->Stop();
    leaving.last.state = WorkerState::kDraining;
    leaving.last.since = absl::Now();
    leaving.client = leaving.last.client;
    leaving.last.client = nullptr;
    leaving_.push_back(std::move(leaving));
    it = connections_.erase(it);
  }
}

void WorkerDiscovery::ForgetLeft() {
  const std::lock_guard<std::mutex> lock(membership_mutex_);
  for (auto it = leaving_.begin(); it != leaving_.end();) {
    if (!it->connection->stopped() || !it->client.expired()) {
      ++it;
      continue;
    }
    const std::string address = it->connection->address();
    Log(LogLevel::kInfo, "expert worker gone", {{"worker", address}});
    it = leaving_.erase(it);
    if (connections_.count(address) != 0) continue;
    replica_backends_.Forget(address);
    observer_->OnWorkerGone(address);
  }
}

void WorkerDiscovery::Rebuild() {
  std::vector<WorkerSnapshot> workers;
  std::vector<std::shared_ptr<ExpertClient>> clients;
  bool all_attempted = true;
  for (const auto& [address, connection] : connections_) {
    workers.push_back(connection->snapshot());
    all_attempted = all_attempted && connection->attempted();
    if (workers.back().client != nullptr) clients.push_back(workers.back().client);
  }
  const std::shared_ptr<const ExpertPlacement> placement =
      BuildPlacement(options_.num_layers, options_.num_experts, clients);
  Publish(placement, Troubles(workers));
  for (const WorkerSnapshot& worker : workers) {
    if (worker.state != WorkerState::kSetAside || !IsMissed(worker, *placement)) continue;
    connections_.at(worker.address)->Hurry();
  }
  for (const WorkerSnapshot& worker : workers) observer_->OnWorker(worker);
  for (const Leaving& leaving : leaving_) {
    if (connections_.count(leaving.last.address) == 0) observer_->OnWorker(leaving.last);
  }
  observer_->OnPlacement(*placement);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    all_attempted_ = all_attempted;
  }
  attempted_.notify_all();
}

void WorkerDiscovery::Publish(std::shared_ptr<const ExpertPlacement> placement,
                              std::vector<std::string> troubles) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // What was there goes after the lock: it may hold the last reference to a client.
    if (placement_->replicas != placement->replicas) placement_.swap(placement);
    troubles_ = std::move(troubles);
  }
  placement_changed_.notify_all();
}

}  // namespace tramontane
