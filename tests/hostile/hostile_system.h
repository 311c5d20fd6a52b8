// The processes that are attacked, and their ports.
#ifndef TRAMONTANE_TESTS_HOSTILE_HOSTILE_SYSTEM_H_
#define TRAMONTANE_TESTS_HOSTILE_HOSTILE_SYSTEM_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/hostile/attack.h"
#include "tests/integration/cluster.h"

namespace tramontane {

struct HostilePort {
  std::string name;  // "coordinator"
  ChildProcess* process = nullptr;
  AttackOptions attack;  // address, methods and max_calls
};

// A coordinator, the attention worker that it drives, one that nobody drives (so that whoever comes
// may), and two expert workers that both use. Used by one thread.
class HostileSystem {
 public:
  static absl::StatusOr<std::unique_ptr<HostileSystem>> Start();

  v1::Inference::Stub* stub() { return &cluster_->stub(); }
  std::vector<HostilePort> ports();
  // SIGTERM, the coordinator first: INTERNAL where one is gone already or does not exit with 0,
  // with the end of its log.
  absl::Status Terminate();

 private:
  HostileSystem() = default;

  std::unique_ptr<Cluster> cluster_;
  ServerProcess undriven_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_HOSTILE_SYSTEM_H_
