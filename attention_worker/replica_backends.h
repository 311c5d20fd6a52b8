// Keeps replicas of an expert from computing on different kernels.
#ifndef TRAMONTANE_ATTENTION_WORKER_REPLICA_BACKENDS_H_
#define TRAMONTANE_ATTENTION_WORKER_REPLICA_BACKENDS_H_

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "attention_worker/expert_client.h"

namespace tramontane {

// The bits of a token are promised for one backend. If a replica had another, they would depend on
// which of them computes a row. So the first worker that serves an expert decides, for as long as
// its address is listed and nothing else answers there. Thread-safe.
class ReplicaBackends {
 public:
  // What was found at `address`: where it is of another backend than what served there before, that
  // decides nothing any more. FAILED_PRECONDITION, saying what was expected and by whose example,
  // where another address serves one of the worker's experts with another backend.
  absl::Status Check(const std::string& address, const ExpertWorkerDescription& worker);
  // The worker at `address` serves from now on, in place of what was there. Fails as Check.
  absl::Status Claim(const std::string& address, const ExpertWorkerDescription& worker);
  // The address is no longer listed.
  void Forget(const std::string& address);

 private:
  struct Served {
    std::string backend;
    std::set<std::pair<int, int>> experts;  // (layer, expert)
  };

  absl::Status CheckLocked(const std::string& address, const ExpertWorkerDescription& worker) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable std::mutex mutex_;
  std::map<std::string, Served> served_ ABSL_GUARDED_BY(mutex_);  // by address
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_REPLICA_BACKENDS_H_
