#include "attention_worker/grpc/worker_discovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/log.h"

namespace tramontane {
namespace {

// A status message travels in an HTTP header; servers and clients accept 8 KiB of those.
constexpr size_t kMaxMissingText = 1500;
constexpr size_t kMaxTroubles = 4;

int64_t CountMissing(const ExpertPlacement& placement) {
  return std::count_if(placement.replicas.begin(), placement.replicas.end(),
                       [](const auto& replicas) { return replicas.empty(); });
}

std::string Shortened(std::string text, size_t limit) {
  if (text.size() <= limit) return text;
  text.resize(text.rfind(';', limit) == std::string::npos ? limit : text.rfind(';', limit));
  return absl::StrCat(text, "; and more");
}

}  // namespace

WorkerDiscovery::WorkerDiscovery(WorkerDiscoveryOptions options, DiscoveryObserver* observer)
    : options_(std::move(options)),
      observer_(observer),
      placement_(BuildPlacement(options_.num_layers, options_.num_experts, {})),
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

bool WorkerDiscovery::AwaitFirstAttempts(absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return attempted_.wait_for(lock, absl::ToChronoMicroseconds(timeout),
                             [this] { return all_attempted_; });
}

void WorkerDiscovery::Loop() {
  absl::Time next_resolve = absl::InfinitePast();
  while (true) {
    const absl::Time now = absl::Now();
    if (now >= next_resolve) {
      ResolveAll();
      next_resolve = now + options_.resolve_interval;
    }
    Rebuild();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMicroseconds(next_resolve - absl::Now()),
                      [this] { return stopping_ || connection_changed_; });
    connection_changed_ = false;
    if (stopping_) break;
  }
  connections_.clear();
}

void WorkerDiscovery::ResolveAll() {
  std::set<std::string> addresses;
  std::map<std::string, std::string> unresolved;
  for (const std::string& target : options_.targets) {
    const absl::StatusOr<std::vector<std::string>> found = options_.resolve(target);
    if (found.ok()) {
      resolved_[target] = std::set<std::string>(found->begin(), found->end());
    } else {
      unresolved[target] = std::string(found.status().message());
    }
    addresses.insert(resolved_[target].begin(), resolved_[target].end());
  }
  UpdateConnections(addresses);
  const std::lock_guard<std::mutex> lock(mutex_);
  unresolved_ = std::move(unresolved);
}

void WorkerDiscovery::UpdateConnections(const std::set<std::string>& addresses) {
  for (const std::string& address : addresses) {
    if (connections_.count(address) != 0) continue;
    Log(LogLevel::kInfo, "expert worker found", {{"worker", address}});
    connections_[address] = std::make_unique<WorkerConnection>(
        address, options_.connect,
        [this] {
          {
            const std::lock_guard<std::mutex> lock(mutex_);
            connection_changed_ = true;
          }
          changed_.notify_all();
        },
        options_.reconnect);
  }
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (addresses.count(it->first) != 0 || it->second->client() != nullptr) {
      ++it;
      continue;
    }
    Log(LogLevel::kInfo, "expert worker gone", {{"worker", it->first}});
    const std::string address = it->first;
    it = connections_.erase(it);
    observer_->OnWorkerGone(address);
  }
}

void WorkerDiscovery::Rebuild() {
  std::vector<std::shared_ptr<ExpertClient>> clients;
  std::vector<std::string> troubles;
  bool all_attempted = true;
  for (const auto& [address, connection] : connections_) {
    std::shared_ptr<ExpertClient> client = connection->client();
    all_attempted = all_attempted && connection->attempted();
    observer_->OnWorker(address, client != nullptr);
    if (client != nullptr) {
      clients.push_back(std::move(client));
    } else {
      const std::string why(connection->status().message());
      const bool named = why.find(address) != std::string::npos;
      troubles.push_back(named ? why : absl::StrCat("worker ", address, ": ", why));
    }
  }
  std::shared_ptr<const ExpertPlacement> placement =
      BuildPlacement(options_.num_layers, options_.num_experts, clients);
  const int64_t num_missing = CountMissing(*placement);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    placement_ = std::move(placement);
    troubles_ = std::move(troubles);
  }
  observer_->OnPlacement(num_missing);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    all_attempted_ = all_attempted;
  }
  attempted_.notify_all();
}

}  // namespace tramontane
