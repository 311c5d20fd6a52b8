// An attention worker in this process, with its experts: in the same process, or behind discovery.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_HOSTED_ATTENTION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_HOSTED_ATTENTION_H_

#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/expert_probe.h"
#include "attention_worker/grpc/attention_metrics.h"
#include "attention_worker/grpc/expert_readiness.h"
#include "attention_worker/grpc/in_process_expert_client.h"
#include "attention_worker/grpc/stream_pump.h"
#include "attention_worker/grpc/worker_discovery.h"
#include "attention_worker/grpc/worker_list_file.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/backend.h"
#include "kernels/create_backend.h"
#include "model/checkpoint.h"
#include "proto/placement.pb.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

struct HostedAttentionOptions {
  BackendOptions backend;
  AttentionWorkerOptions attention;
  bool experts_in_process = false;
  bool allow_mixed_backends = false;  // among the replicas of an expert
  // For how long a step looks for the experts' answers, and an attention worker for its
  // coordinator's messages, before they sleep; zero: they sleep at once.
  absl::Duration answer_spin;
  // Otherwise, one of these at least.
  std::vector<std::string> expert_workers;  // HOST:PORT or unix:PATH
  std::string expert_workers_file;          // "": none
  TlsClient expert_tls;                     // towards them
};

// What the processes coordinator and attention_worker have in common: kernels, weights, KV cache,
// the connections to expert workers, and the metrics of all that.
class HostedAttention {
 public:
  // Loads the experts, or begins to look for their workers. `on_experts` is called
  // whenever discovery has looked, from its threads, or once before this returns for experts in
  // process: whether every expert has a worker. readiness() says which have none. Fails as
  // HostedExperts::Load and WorkerListFile::Open.
  static absl::StatusOr<std::unique_ptr<HostedAttention>> Create(
      const std::shared_ptr<const Checkpoint>& checkpoint, std::unique_ptr<Backend> backend,
      std::shared_ptr<prometheus::Registry> registry, const HostedAttentionOptions& options,
      std::function<void(bool complete)> on_experts);

  // Loads the attention worker; then waits a few seconds for expert workers that are already there.
  // Called once, before anything below. Fails as AttentionWorker::Create.
  absl::Status Load();

  AttentionWorker* worker() { return worker_.get(); }
  // Whether its backend computes nothing more. From any thread.
  bool device_failed() const { return backend_->failed(); }
  std::string_view backend_name() const { return backend_->name(); }
  // UNAVAILABLE naming the experts that have no worker.
  absl::Status readiness() const;
  // Who hosts which experts, `role` being this process's.
  v1::GetPlacementResponse Placement(const std::string& role) const;

 private:
  HostedAttention(const std::shared_ptr<const Checkpoint>& checkpoint,
                  std::unique_ptr<Backend> backend,
                  const std::shared_ptr<prometheus::Registry>& registry,
                  const HostedAttentionOptions& options, std::function<void(bool)> on_experts);
  absl::Status HostExperts();
  // Their own threads, or the attention's device.
  absl::StatusOr<Backend*> ExpertBackend();
  absl::Status FindExperts();

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const HostedAttentionOptions options_;
  const absl::Time created_ = absl::Now();
  const std::unique_ptr<Backend> backend_;
  AttentionMetrics metrics_;
  ExpertReadiness expert_readiness_;
  std::unique_ptr<Backend>
      expert_backend_;  // of experts in process: they have threads of their own; null on a device
  std::unique_ptr<HostedExperts> experts_;
  LocalExperts local_experts_;  // of a device; else empty
  std::unique_ptr<FixedExpertDirectory> fixed_;
  std::shared_ptr<StreamPump> pump_;  // of the experts' clients; null for experts in process
  std::unique_ptr<ExpertProbe> probe_;
  std::unique_ptr<WorkerListFile> worker_list_;
  std::unique_ptr<WorkerDiscovery> discovery_;
  std::unique_ptr<AttentionWorker> worker_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_HOSTED_ATTENTION_H_
