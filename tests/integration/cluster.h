// A coordinator, its attention workers and their expert workers as real processes, and a client of
// its public API.
#ifndef TRAMONTANE_TESTS_INTEGRATION_CLUSTER_H_
#define TRAMONTANE_TESTS_INTEGRATION_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/inference.grpc.pb.h"
#include "proto/serving/tls_client.h"
#include "tests/integration/server_process.h"

namespace tramontane {

struct ClusterOptions {
  std::string model;                        // directory
  std::vector<std::string> worker_experts;  // --experts of each worker; none: experts in process
  std::string compute = "bf16";
  // Expert workers are named by a file that is watched, not by a flag.
  bool list_expert_workers = false;
  int num_attention_workers = 0;  // none: attention runs in the coordinator
  std::vector<std::string> coordinator_flags;
  std::vector<std::string> attention_flags;  // of each attention worker
  std::vector<std::string> worker_flags;     // of each expert worker
  TlsClient client_tls;                      // towards the coordinator's API
};

class Cluster {
 public:
  // Starts everything and waits until the coordinator is SERVING.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const ClusterOptions& options);

  v1::Inference::Stub& stub() { return *stub_; }
  ServerProcess& coordinator() { return coordinator_; }
  std::vector<ServerProcess>& workers() { return workers_; }
  std::vector<ServerProcess>& attention_workers() { return attention_workers_; }

  // Starts one more expert worker, which nobody knows yet. `model`: empty for the cluster's own.
  absl::Status AddExpertWorker(const std::string& experts, const std::string& model = "");
  // With list_expert_workers: names these of workers() in the file, and no others.
  void ListExpertWorkers(const std::vector<size_t>& indices);

 private:
  Cluster() = default;
  std::string list_path() const { return directory_.path() + "/expert_workers"; }
  // With the flags that all have in common, `flag` and `more_flags`.
  static absl::StatusOr<ServerProcess> StartOne(const std::string& binary,
                                                const ClusterOptions& options,
                                                const std::string& flag,
                                                const std::vector<std::string>& more_flags);

  ClusterOptions options_;
  TemporaryDirectory directory_;
  std::vector<ServerProcess> workers_;
  std::vector<ServerProcess> attention_workers_;
  ServerProcess coordinator_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

// Waits until the server's overall health is (or is no longer) SERVING; DEADLINE_EXCEEDED else.
absl::Status AwaitServing(const std::string& address, bool serving, absl::Duration timeout,
                          const TlsClient& tls = {});

// A connection of its own, taking messages of any size.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, const TlsClient& tls = {});

// The messages of one Generate call as one: text and lists concatenated, the last message's rest.
absl::StatusOr<v1::GenerateResponse> GenerateAll(v1::Inference::Stub& stub,
                                                 const v1::GenerateRequest& request,
                                                 absl::Duration timeout = absl::Minutes(2));

// The sum of a metric's samples whose label text contains `labels` on a process's endpoint;
// NOT_FOUND where there is none.
absl::StatusOr<double> ReadMetric(const std::string& metrics_address, const std::string& name,
                                  const std::string& labels = "");

// Directories of the checkpoints in the repository.
std::string DemoModel();
std::string GoldenCheckpoint(const std::string& name);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_CLUSTER_H_
