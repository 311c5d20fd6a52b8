// A network of its own for one worker, that can be cut off. Needs root and iproute2.
#ifndef TRAMONTANE_TESTS_CHAOS_WORKER_NAMESPACE_H_
#define TRAMONTANE_TESTS_CHAOS_WORKER_NAMESPACE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/integration/server_process.h"

namespace tramontane {

// A network namespace and a pair of virtual interfaces to it; goes with the object. Used by one
// thread.
class WorkerNamespace {
 public:
  // FAILED_PRECONDITION where namespaces cannot be made here.
  static absl::StatusOr<std::unique_ptr<WorkerNamespace>> Create();
  ~WorkerNamespace();

  ServerPlace place() const;
  // From now on packets vanish in both directions, without a word to either side.
  absl::Status CutOff();
  absl::Status Reconnect();

 private:
  explicit WorkerNamespace(int number);
  // Runs `ip` with these arguments, here or inside.
  absl::Status Ip(const std::string& arguments) const;
  absl::Status IpInside(const std::string& arguments) const;

  const std::string name_;
  const std::string outside_, inside_;  // addresses
  const std::string interface_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_WORKER_NAMESPACE_H_
