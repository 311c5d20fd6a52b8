#include "attention_worker/grpc/worker_addresses.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/steady_clock.h"

namespace tramontane {

absl::Duration WorkerAddresses::UntilNext() const {
  return std::min(options_.list_interval, next_resolve_ - SteadyNow());
}

bool WorkerAddresses::UpdateTargets() {
  std::vector<std::string> targets = options_.targets;
  if (options_.listed != nullptr) {
    const std::vector<std::string> listed = options_.listed();
    targets.insert(targets.end(), listed.begin(), listed.end());
  }
  if (targets == targets_) return false;
  targets_ = std::move(targets);
  return true;
}

bool WorkerAddresses::Update() {
  if (!UpdateTargets() && SteadyNow() < next_resolve_) return false;
  std::map<std::string, std::map<std::string, int>> resolved;
  addresses_.clear();
  unresolved_.clear();
  for (const std::string& target : targets_) {
    std::map<std::string, int>& known = resolved[target];
    known = resolved_[target];
    const absl::StatusOr<std::vector<std::string>> found = options_.resolve(target);
    if (found.ok()) {
      for (auto& [address, absences] : known) ++absences;
      for (const std::string& address : *found) known[address] = 0;
    } else {
      unresolved_[target] = std::string(found.status().message());
    }
    for (auto it = known.begin(); it != known.end();) {
      it = it->second < options_.absences_to_leave ? std::next(it) : known.erase(it);
    }
    for (const auto& [address, absences] : known) addresses_.insert(address);
  }
  resolved_ = std::move(resolved);
  next_resolve_ = SteadyNow() + options_.resolve_interval;
  return true;
}

}  // namespace tramontane
