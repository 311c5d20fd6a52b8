// The attention_worker process: loads attention weights, finds expert workers, runs the steps that
// a coordinator sends, drains on SIGTERM.
#include "proto/serving/abseil_flag_types.h"

#include <prometheus/registry.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/attention_flags.h"
#include "attention_worker/grpc/attention_service.h"
#include "attention_worker/grpc/hosted_attention.h"
#include "attention_worker/grpc/metric_families.h"
#include "attention_worker/grpc/placement_service.h"
#include "kernels/backend.h"
#include "kernels/create_backend.h"
#include "model/checkpoint.h"
#include "model/log.h"
#include "proto/serving/address_file.h"
#include "proto/serving/call_loop.h"
#include "proto/serving/failure_watch.h"
#include "proto/serving/listener.h"
#include "proto/serving/memory_trim.h"
#include "proto/serving/polling.h"
#include "proto/serving/process.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/serving_gate.h"
#include "proto/serving/status_ports.h"
#include "proto/serving/task_thread.h"
#include "proto/serving/tls_watch.h"
#include "proto/serving/worker_port.h"

ABSL_FLAG(
    std::string, listen, "127.0.0.1:8490",
    "HOST:PORT to serve on, port 0 takes a free one; or unix:PATH, for peers on this machine.");

namespace tramontane {
namespace {

// What the coordinator gets to end its connection once everything is answered.
constexpr absl::Duration kGoodbyeTime = absl::Milliseconds(500);

// Tells health and the coordinator which experts are missing, once there is a service to tell.
class ExpertNews {
 public:
  explicit ExpertNews(ServingGate* gate) : gate_(gate) {}

  void Attach(const HostedAttention* attention, AttentionService* service) {
    const std::lock_guard<std::mutex> lock(mutex_);
    attention_ = attention;
    service_ = service;
    TellLocked();
  }
  void Detach() {
    const std::lock_guard<std::mutex> lock(mutex_);
    service_ = nullptr;
  }
  void OnExperts(bool complete) {
    gate_->SetReady(complete);
    const std::lock_guard<std::mutex> lock(mutex_);
    TellLocked();
  }

 private:
  void TellLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (service_ == nullptr) return;
    service_->SetMissingExperts(std::string(attention_->readiness().message()));
  }

  ServingGate* const gate_;
  std::mutex mutex_;
  const HostedAttention* attention_ ABSL_GUARDED_BY(mutex_) = nullptr;
  AttentionService* service_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

// Serves until a termination signal, then drains. Returns the exit code.
int Serve(StatusPorts* status, AttentionService* service, const HostedAttention& attention,
          absl::Duration spin, ServingGate* gate, const WorkerPort& port) {
  SecurityMetrics security_metrics(status->registry());
  const TlsWatch watch({port.identity}, &security_metrics);
  const MemoryTrim memory_trim;
  const bool beyond_loopback = absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback);
  ListenerOptions listener_options;
  listener_options.address = absl::GetFlag(FLAGS_listen);
  listener_options.min_ping_interval = kAttentionPingInterval;
  listener_options.allow_plaintext_beyond_loopback = beyond_loopback;
  listener_options.credentials = WorkerPortCredentials(port, &security_metrics);
  TaskThread placement_thread;  // looking up who hosts what may wait for a change of that
  std::vector<LoopMethod> methods = service->Methods();
  methods.push_back(PlacementMethod(
      [&attention] { return attention.Placement("attention_worker"); }, &placement_thread));
  absl::StatusOr<std::unique_ptr<Listener>> started =
      Listener::StartLoop(listener_options, std::move(methods), spin);
  if (!started.ok()) return ExitWith(started.status());
  Listener* const listener = started->get();
  gate->Open([listener, status](bool serving) {
    listener->SetServing(serving);
    status->health()->SetReady(serving);
  });
  const absl::Status written =
      WriteAddressFile(absl::GetFlag(FLAGS_address_file), {.rpc = listener->address(),
                                                           .metrics = status->metrics_address(),
                                                           .health = status->health()->address()});
  if (!written.ok()) {
    gate->Close();
    return ExitWith(written);
  }
  Log(LogLevel::kInfo, "listening",
      {{"address", listener->address()}, {"metrics_address", status->metrics_address()}});

  const int signal = WaitForTerminationSignal();
  Log(LogLevel::kInfo, "draining", {{"signal", signal}});
  gate->Close();
  service->Drain(absl::Now() + DrainTimeoutFlag());
  listener->Shutdown(absl::Now() + kGoodbyeTime);
  Log(LogLevel::kInfo, "stopped");
  return kExitOk;
}

int Run(const std::shared_ptr<const Checkpoint>& checkpoint, const WorkerPort& port,
        StatusPorts* status) {
  const HostedAttentionOptions options = HostedAttentionFlags(port.identity);
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateBackend(options.backend);
  if (!backend.ok()) return ExitWith(backend.status());
  AttentionIdentity identity;
  identity.model_name = ModelNameFlag();
  identity.digest = checkpoint->digest();
  identity.compute_dtype = absl::GetFlag(FLAGS_compute);
  identity.backend = std::string((*backend)->name());
  identity.config = checkpoint->config();
  identity.max_step_tokens = options.attention.max_step_tokens;

  const std::shared_ptr<prometheus::Registry>& registry = status->registry();
  AddIdentityMetrics(*registry, {.version = TRAMONTANE_VERSION,
                                 .model_name = identity.model_name,
                                 .digest = identity.digest,
                                 .compute_dtype = identity.compute_dtype,
                                 .backend = identity.backend});
  ServingGate gate;
  ExpertNews news(&gate);
  absl::StatusOr<std::unique_ptr<HostedAttention>> attention =
      HostedAttention::Create(checkpoint, *std::move(backend), registry, options,
                              [&news](bool complete) { news.OnExperts(complete); });
  if (!attention.ok()) return ExitWithLoading(attention.status(), kExitCheckpoint);
  const absl::Status loaded = (*attention)->Load();
  if (!loaded.ok()) return ExitWithLoading(loaded, ExitCodeOf(loaded));
  status->EndLoading();
  AttentionService service((*attention)->worker(), std::move(identity));
  news.Attach(attention->get(), &service);
  const FailureWatch device([&attention] { return (*attention)->device_failed(); });
  const int exit_code = Serve(status, &service, **attention, options.answer_spin, &gate, port);
  news.Detach();
  return device.ExitCode(exit_code);
}

int Main(int argc, char** argv) {
  IgnoreLockOrder();
  TakeTerminationSignals();
  const std::vector<char*> positional =
      ParseFlags(argc, argv,
                 "Runs attention of a Mixtral checkpoint for a coordinator. For example:\n"
                 "  attention_worker --model=DIR --expert_workers=127.0.0.1:8481,127.0.0.1:8482 "
                 "--listen=127.0.0.1:8490\n"
                 "  coordinator --model=DIR --attention_workers=127.0.0.1:8490");
  InitLog("attention_worker");
  if (!positional.empty()) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", positional.front(), "\"; see --help")));
  }
  const absl::Status flags = CheckAttentionFlags();
  if (!flags.ok()) return ExitWith(flags);
  PollOwnConnections();
  const absl::StatusOr<WorkerPort> port = WorkerPortFromFlags(
      absl::GetFlag(FLAGS_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!port.ok()) return ExitWith(port.status());
  const absl::Status expert_flags = CheckExpertFlags();
  if (!expert_flags.ok()) return ExitWith(expert_flags);
  const absl::StatusOr<std::unique_ptr<StatusPorts>> status = StatusPorts::Start(
      absl::GetFlag(FLAGS_metrics_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!status.ok()) return ExitWith(status.status());
  absl::StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(absl::GetFlag(FLAGS_model));
  if (!checkpoint.ok()) return ExitWith(checkpoint.status(), kExitCheckpoint);
  return Run(*checkpoint, *port, status->get());
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
