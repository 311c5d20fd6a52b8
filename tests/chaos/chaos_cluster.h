// A system of real processes whose parts are killed, stopped, restarted and replaced.
#ifndef TRAMONTANE_TESTS_CHAOS_CHAOS_CLUSTER_H_
#define TRAMONTANE_TESTS_CHAOS_CHAOS_CLUSTER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/inference.grpc.pb.h"
#include "tests/integration/cluster_certificates.h"
#include "tests/integration/server_process.h"

namespace tramontane {

// What one process is started with. It keeps its address over restarts.
struct Member {
  std::string name;     // "expert-a1"
  std::string program;  // in the build's bin directory
  std::vector<std::string> flags;
  ServerPlace place;
};

struct ChaosClusterOptions {
  std::vector<std::string> experts;  // of each expert worker: "0-3"
  int num_attention_workers = 0;     // none: attention in the coordinator
  bool mutual_tls = false;           // on all hops
};

// Membership comes from files that the coordinator and attention workers watch. Used by one thread.
class ChaosCluster {
 public:
  static absl::StatusOr<std::unique_ptr<ChaosCluster>> Start(const ChaosClusterOptions& options);

  v1::Inference::Stub* stub() { return stub_.get(); }
  const ServerProcess& coordinator() const { return coordinator_; }

  // Names: expert-0, expert-1, …, attention-0, …
  const ServerProcess& server(const std::string& name) const { return members_.at(name).server; }
  // Also of "coordinator".
  pid_t pid(const std::string& name) const;
  void Signal(const std::string& name, int signal_number);
  // Starts a member that has ended, at its address, and waits until it listens.
  absl::Status Restart(const std::string& name);
  // SIGTERM, then waits for exit code 0.
  absl::Status Terminate(const std::string& name);
  // The coordinator likewise, then all members, whether one fails or not; the first failure.
  absl::Status TerminateAll();
  // Starts one more and names it in the file of its kind; returns its name.
  absl::StatusOr<std::string> AddExpertWorker(const std::string& experts,
                                              const std::string& model = "",
                                              const ServerPlace& place = ServerPlace());
  // Takes it out of the file; the process goes on.
  absl::Status Delist(const std::string& name);
  // Names `address` in the file in the member's place; the process goes on.
  absl::Status Replace(const std::string& name, const std::string& address);
  const std::string& address(const std::string& name) const {
    return members_.at(name).server.address;
  }
  // All members of a kind: "expert-" or "attention-".
  std::vector<std::string> Names(const std::string& kind) const;
  // Certificates of a new CA for everybody, while all runs.
  void SwapCertificates();
  // From now on the process may not have more memory than it has.
  absl::Status ForbidMoreMemory(const std::string& name);

 private:
  struct Running {
    Member member;
    ServerProcess server;
    std::string listed_as;  // address in the file; empty: not in it
  };

  ChaosCluster() = default;
  absl::Status Add(Member member);
  // Of a process of that kind ("expert", "attention", "coordinator"): --model, and those of TLS.
  std::vector<std::string> CommonFlags(const std::string& kind, const std::string& model) const;
  // Writes the list of a kind to its file, at once as a whole.
  absl::Status WriteList(const std::string& kind) const;
  std::string ListPath(const std::string& kind) const;

  TemporaryDirectory lists_;
  std::unique_ptr<ClusterCertificates> certificates_;  // null: plaintext
  std::map<std::string, Running> members_;
  ServerProcess coordinator_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_CHAOS_CLUSTER_H_
