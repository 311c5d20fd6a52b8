// The addresses that names and a watched list give now.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_ADDRESSES_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_ADDRESSES_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tramontane {

using ResolveFunction =
    std::function<absl::StatusOr<std::vector<std::string>>(const std::string& target)>;
// The targets that a list names now; called again and again, from one thread.
using ListFunction = std::function<std::vector<std::string>()>;

struct WorkerAddressOptions {
  std::vector<std::string> targets;  // HOST:PORT or unix:PATH; each may resolve to several workers
  ListFunction listed;               // more of them, which come and go; null: none
  ResolveFunction resolve;
  absl::Duration list_interval = absl::Seconds(1);
  absl::Duration resolve_interval = absl::Seconds(3);
  // So many lookups of a name in succession must lack an address for it to leave: one answer of a
  // name server may be incomplete. A target that `listed` no longer names leaves at once.
  int absences_to_leave = 2;
};

// A name that does not resolve keeps what it had. For one thread.
class WorkerAddresses {
 public:
  explicit WorkerAddresses(WorkerAddressOptions options) : options_(std::move(options)) {}

  // Reads the list, and resolves what is due. False where nothing was due: nothing has changed.
  bool Update();
  absl::Duration UntilNext() const;  // when to call Update again

  const std::set<std::string>& addresses() const { return addresses_; }
  // By target: why it does not resolve.
  const std::map<std::string, std::string>& unresolved() const { return unresolved_; }

 private:
  bool UpdateTargets();

  const WorkerAddressOptions options_;
  absl::Time next_resolve_ = absl::InfinitePast();  // of SteadyNow
  std::vector<std::string> targets_;
  std::map<std::string, std::map<std::string, int>> resolved_;  // target, address: absences
  std::set<std::string> addresses_;
  std::map<std::string, std::string> unresolved_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_ADDRESSES_H_
