#include "attention_worker/grpc/hosted_attention.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "attention_worker/grpc/address_resolver.h"
#include "attention_worker/grpc/grpc_expert_client.h"
#include "attention_worker/grpc/placement_messages.h"
#include "expert_worker/expert_set.h"
#include "model/log.h"

namespace tramontane {
namespace {

// An expert worker that does not answer for so long is tried again later.
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);

ExpertWorkerExpectation Expected(const Checkpoint& checkpoint, const Backend& backend) {
  const MixtralConfig& config = checkpoint.config();
  ExpertWorkerExpectation expected;
  expected.digest = checkpoint.digest();
  expected.row_dtype = backend.compute_dtype();
  expected.num_layers = config.num_layers;
  expected.num_experts = config.num_experts;
  expected.hidden_size = config.hidden_size;
  expected.intermediate_size = config.intermediate_size;
  return expected;
}

ConnectFunction Connector(const ExpertWorkerExpectation& expected, const TlsClient& tls,
                          std::shared_ptr<StreamPump> pump) {
  return [expected, tls, pump = std::move(pump)](
             const std::string& address, std::function<void(const absl::Status&)> on_disconnect) {
    GrpcExpertClientOptions options;
    options.connect_timeout = kConnectTimeout;
    options.tls = tls;
    options.pump = pump;
    options.on_disconnect = std::move(on_disconnect);
    return ConnectExpertWorker(address, expected, options);
  };
}

// A worker that is refused computes nothing: only of one that is not is this said.
void WarnOfOtherKernels(const ExpertClient& client, std::string_view kernels) {
  const std::string& found = client.description().backend;
  if (found == kernels) return;
  Log(LogLevel::kWarning, "expert worker has other kernels: last bits may depend on placement",
      {{"worker", client.address()}, {"expected", kernels}, {"found", found}});
}

}  // namespace

HostedAttention::HostedAttention(const std::shared_ptr<const Checkpoint>& checkpoint,
                                 std::unique_ptr<Backend> backend,
                                 const std::shared_ptr<prometheus::Registry>& registry,
                                 const HostedAttentionOptions& options,
                                 std::function<void(bool)> on_experts)
    : checkpoint_(checkpoint),
      options_(options),
      backend_(std::move(backend)),
      metrics_(registry, checkpoint->config().num_layers, checkpoint->config().num_experts),
      expert_readiness_(&metrics_,
                        MembershipMetrics(registry, checkpoint->config().num_layers,
                                          checkpoint->config().num_experts),
                        std::move(on_experts)) {}

absl::StatusOr<std::unique_ptr<HostedAttention>> HostedAttention::Create(
    const std::shared_ptr<const Checkpoint>& checkpoint, std::unique_ptr<Backend> backend,
    std::shared_ptr<prometheus::Registry> registry, const HostedAttentionOptions& options,
    std::function<void(bool complete)> on_experts) {
  std::unique_ptr<HostedAttention> hosted(new HostedAttention(
      checkpoint, std::move(backend), std::move(registry), options, std::move(on_experts)));
  const absl::Status begun =
      options.experts_in_process ? hosted->HostExperts() : hosted->FindExperts();
  if (!begun.ok()) return begun;
  return hosted;
}

absl::Status HostedAttention::Load() {
  ExpertDirectory* directory = fixed_.get();
  if (discovery_ != nullptr) directory = discovery_.get();
  AttentionWorkerOptions options = options_.attention;
  options.arrivals = pump_.get();
  if (!local_experts_.empty()) options.local_experts = &local_experts_;
  absl::StatusOr<std::unique_ptr<AttentionWorker>> worker =
      AttentionWorker::Create(checkpoint_, backend_.get(), directory, &metrics_, options);
  if (!worker.ok()) return worker.status();
  worker_ = *std::move(worker);
  // So that the first request finds the workers that are already there.
  if (discovery_ != nullptr) discovery_->AwaitFirstAttempts(2 * kConnectTimeout);
  return absl::OkStatus();
}

absl::StatusOr<Backend*> HostedAttention::ExpertBackend() {
  if (!backend_->host_sees_memory()) return backend_.get();
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateHostBackend(options_.backend);
  if (!backend.ok()) return backend.status();
  expert_backend_ = *std::move(backend);
  return expert_backend_.get();
}

absl::Status HostedAttention::HostExperts() {
  const MixtralConfig& config = checkpoint_->config();
  const absl::StatusOr<Backend*> backend = ExpertBackend();
  if (!backend.ok()) return backend.status();
  const absl::StatusOr<ExpertSet> all =
      ExpertSet::Parse("all", config.num_layers, config.num_experts);
  if (!all.ok()) return all.status();
  absl::StatusOr<std::unique_ptr<HostedExperts>> experts =
      HostedExperts::Load(checkpoint_, *all, *backend);
  if (!experts.ok()) return experts.status();
  experts_ = *std::move(experts);
  // The client below then only describes them: one thread at a time uses a backend.
  if (!backend_->host_sees_memory()) local_experts_ = experts_->All();
  ExpertExecutorOptions executor_options;
  executor_options.max_batch_rows =
      std::max(executor_options.max_batch_rows, options_.attention.max_step_tokens * config.top_k);
  const std::vector<std::shared_ptr<ExpertClient>> clients = {
      std::make_shared<InProcessExpertClient>(experts_.get(), executor_options)};
  fixed_ = std::make_unique<FixedExpertDirectory>(
      BuildPlacement(config.num_layers, config.num_experts, clients));
  expert_readiness_.OnPlacement(*fixed_->placement());
  return absl::OkStatus();
}

absl::Status HostedAttention::FindExperts() {
  // Probes are rare, and must not take the threads that attention runs on.
  BackendOptions probe_backend = options_.backend;
  probe_backend.num_threads = 1;
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateHostBackend(probe_backend);
  if (!backend.ok()) return backend.status();
  probe_ = std::make_unique<ExpertProbe>(checkpoint_, *std::move(backend), ExpertProbeOptions());
  WorkerDiscoveryOptions discovery;
  discovery.addresses.targets = options_.expert_workers;
  if (!options_.expert_workers_file.empty()) {
    absl::StatusOr<std::unique_ptr<WorkerListFile>> list =
        WorkerListFile::Open(options_.expert_workers_file, "expert_workers_file");
    if (!list.ok()) return list.status();
    worker_list_ = *std::move(list);
    discovery.addresses.listed = [list = worker_list_.get()] { return list->Targets(); };
  }
  pump_ = std::make_shared<StreamPump>(options_.answer_spin);
  discovery.num_layers = checkpoint_->config().num_layers;
  discovery.num_experts = checkpoint_->config().num_experts;
  discovery.addresses.resolve = ResolveTarget;
  discovery.allow_mixed_backends = options_.allow_mixed_backends;
  discovery.connect = Connector(Expected(*checkpoint_, *backend_), options_.expert_tls, pump_);
  discovery.probe = [probe = probe_.get(), kernels = std::string(backend_->name())](
                        const std::shared_ptr<ExpertClient>& client, int wrong_answers) {
    absl::Status probed = probe->Probe(client, wrong_answers);
    if (probed.ok()) WarnOfOtherKernels(*client, kernels);
    return probed;
  };
  discovery_ = std::make_unique<WorkerDiscovery>(std::move(discovery), &expert_readiness_);
  return absl::OkStatus();
}

v1::GetPlacementResponse HostedAttention::Placement(const std::string& role) const {
  v1::GetPlacementResponse response;
  response.set_role(role);
  response.set_num_layers(static_cast<uint32_t>(checkpoint_->config().num_layers));
  response.set_num_experts(static_cast<uint32_t>(checkpoint_->config().num_experts));
  if (discovery_ != nullptr) {
    SetExpertPlacement(*discovery_->placement(), discovery_->workers(), absl::Now(), &response);
    return response;
  }
  WorkerSnapshot in_process;
  in_process.client = fixed_->placement()->Replicas(0, 0).front();
  in_process.address = in_process.client->address();
  in_process.state = WorkerState::kServing;
  in_process.since = created_;
  in_process.description =
      std::make_shared<const ExpertWorkerDescription>(in_process.client->description());
  SetExpertPlacement(*fixed_->placement(), {in_process}, absl::Now(), &response);
  return response;
}

absl::Status HostedAttention::readiness() const {
  return discovery_ == nullptr ? absl::OkStatus() : discovery_->readiness();
}

}  // namespace tramontane
