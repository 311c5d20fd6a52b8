#include "attention_worker/replica_backends.h"

#include "absl/strings/str_cat.h"

namespace tramontane {

absl::Status ReplicaBackends::Check(const std::string& address,
                                    const ExpertWorkerDescription& worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto before = served_.find(address);
  if (before != served_.end() && before->second.backend != worker.backend) served_.erase(before);
  return CheckLocked(address, worker);
}

absl::Status ReplicaBackends::Claim(const std::string& address,
                                    const ExpertWorkerDescription& worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status fits = CheckLocked(address, worker);
  if (!fits.ok()) return fits;
  Served& served = served_[address];
  served.backend = worker.backend;
  served.experts.clear();
  for (const auto& [layer, expert] : worker.experts) served.experts.emplace(layer, expert);
  return absl::OkStatus();
}

void ReplicaBackends::Forget(const std::string& address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  served_.erase(address);
}

absl::Status ReplicaBackends::CheckLocked(const std::string& address,
                                          const ExpertWorkerDescription& worker) const {
  for (const auto& [other, served] : served_) {
    if (other == address || served.backend == worker.backend) continue;
    for (const auto& [layer, expert] : worker.experts) {
      if (served.experts.count({layer, expert}) == 0) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "expert worker ", address, ": expected the backend ", served.backend, " as of ", other,
          ", which also hosts expert ", expert, " of layer ", layer, "; found ", worker.backend,
          ": tokens would depend on which of them computes; start it with the same --device and "
          "--cpu_isa, take the other from the list, or allow it with --allow_mixed_backends"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tramontane
