// The coordinator process: runs attention or finds the workers that do, schedules, serves, drains
// on SIGTERM.
#include "proto/serving/abseil_flag_types.h"

#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/address_resolver.h"
#include "attention_worker/grpc/attention_flags.h"
#include "attention_worker/grpc/hosted_attention.h"
#include "attention_worker/grpc/metric_families.h"
#include "attention_worker/grpc/placement_service.h"
#include "attention_worker/grpc/stream_pump.h"
#include "attention_worker/grpc/worker_list_file.h"
#include "coordinator/grpc/api_port.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/grpc/inference_service.h"
#include "coordinator/grpc/remote_attention.h"
#include "coordinator/prompt_encoding.h"
#include "coordinator/scheduler.h"
#include "coordinator/served_model.h"
#include "kernels/backend.h"
#include "kernels/create_backend.h"
#include "model/checkpoint.h"
#include "model/log.h"
#include "proto/serving/address_file.h"
#include "proto/serving/failure_watch.h"
#include "proto/serving/flag_range.h"
#include "proto/serving/listener.h"
#include "proto/serving/memory_trim.h"
#include "proto/serving/periodic_task.h"
#include "proto/serving/polling.h"
#include "proto/serving/process.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/serving_gate.h"
#include "proto/serving/status_ports.h"
#include "proto/serving/task_thread.h"
#include "proto/serving/tls_flags.h"
#include "proto/serving/tls_watch.h"

ABSL_FLAG(
    std::string, listen, "127.0.0.1:8470",
    "HOST:PORT to serve the API on, port 0 takes a free one; or unix:PATH, for clients on this "
    "machine.");
ABSL_FLAG(
    std::string, attention_workers, "",
    "HOST:PORT or unix:PATH of attention workers, separated by commas, over which requests are "
    "spread; each has expert workers of its own. Empty: attention runs in this process.");
ABSL_FLAG(std::string, attention_workers_file, "",
          "File with HOST:PORT or unix:PATH of an attention worker on each line, beside "
          "--attention_workers or "
          "in its place; read again when it changes. Workers appear and leave without a restart.");
ABSL_FLAG(double, attention_timeout_s, 300,
          "Seconds after which an attention worker that does not answer is given up; its requests "
          "run again elsewhere.");
ABSL_FLAG(int, max_running_requests, 64,
          "Most requests that run at once, on each attention worker.");
ABSL_FLAG(int, max_waiting_requests, 256,
          "Most requests that wait to run; one more is answered with RESOURCE_EXHAUSTED.");
ABSL_FLAG(double, queue_timeout_s, 60,
          "Seconds that a request may wait to run before RESOURCE_EXHAUSTED; 0: no limit.");
ABSL_FLAG(double, slow_client_timeout_s, 60,
          "Seconds that a client which does not read its stream may hold its place.");

namespace tramontane {
namespace {

// What clients get to end their connections when all requests have been answered. Those of idle
// ones stay open until this is over: gRPC's clients read the goodbye every few seconds only.
constexpr absl::Duration kGoodbyeTime = absl::Milliseconds(500);
// What clients get to read the ends of their requests, whenever these ended.
constexpr absl::Duration kDeliveryTime = absl::Seconds(2);
// So long after the last worker was lost requests are still accepted, and wait: one that was silent
// is mostly back by then.
constexpr absl::Duration kMomentAway = absl::Seconds(5);
// How often the file of API tokens is read again.
constexpr absl::Duration kTokensInterval = absl::Seconds(1);

absl::Status CheckFlags() {
  for (const absl::Status& range :
       {CheckAtLeast(1, {{"max_running_requests", absl::GetFlag(FLAGS_max_running_requests)}}),
        CheckAtLeast(0, {{"max_waiting_requests", absl::GetFlag(FLAGS_max_waiting_requests)},
                         {"queue_timeout_s", absl::GetFlag(FLAGS_queue_timeout_s)}}),
        CheckMoreThan(0, {{"slow_client_timeout_s", absl::GetFlag(FLAGS_slow_client_timeout_s)},
                          {"attention_timeout_s", absl::GetFlag(FLAGS_attention_timeout_s)}})}) {
    if (!range.ok()) return range;
  }
  return CheckAttentionFlags();
}

bool AttentionIsRemote() {
  return !absl::GetFlag(FLAGS_attention_workers).empty() ||
         !absl::GetFlag(FLAGS_attention_workers_file).empty();
}

absl::Status CheckWorkerFlags() {
  if (!AttentionIsRemote()) {
    return CheckExpertFlags(
        "; or, for attention in other processes, --attention_workers=HOST:PORT,… or "
        "--attention_workers_file=PATH");
  }
  if (!absl::GetFlag(FLAGS_expert_workers).empty() ||
      !absl::GetFlag(FLAGS_expert_workers_file).empty() ||
      absl::GetFlag(FLAGS_experts_in_process)) {
    return absl::InvalidArgumentError(
        "expected neither --expert_workers, --expert_workers_file nor --experts_in_process beside "
        "--attention_workers or --attention_workers_file: give them to the attention workers");
  }
  return CheckWorkerLists(absl::GetFlag(FLAGS_attention_workers), "attention_workers",
                          absl::GetFlag(FLAGS_attention_workers_file), "attention_workers_file");
}

SchedulerOptions SchedulingOptions() {
  SchedulerOptions options;
  options.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.max_running_requests = absl::GetFlag(FLAGS_max_running_requests);
  options.max_waiting_requests = absl::GetFlag(FLAGS_max_waiting_requests);
  options.queue_timeout = absl::Seconds(absl::GetFlag(FLAGS_queue_timeout_s));
  options.slow_client_timeout = absl::Seconds(absl::GetFlag(FLAGS_slow_client_timeout_s));
  options.moment_away = kMomentAway;
  return options;
}

ProcessIdentity Identity(const ServedModel& model) {
  return {.version = TRAMONTANE_VERSION,
          .model_name = model.name,
          .digest = model.digest,
          .compute_dtype = model.compute_dtype,
          .backend = model.backend};
}

// Towards workers, and towards clients.
struct Security {
  std::shared_ptr<TlsIdentity> cluster;  // null: plaintext
  ApiPort api;
};

absl::StatusOr<Security> SecurityFromFlags() {
  Security security;
  absl::StatusOr<std::shared_ptr<TlsIdentity>> cluster =
      TlsIdentityFromFlags(/*needs_ca=*/!absl::GetFlag(FLAGS_experts_in_process));
  if (!cluster.ok()) return cluster.status();
  security.cluster = *std::move(cluster);
  absl::StatusOr<ApiPort> api = ApiPortFromFlags(
      absl::GetFlag(FLAGS_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!api.ok()) return api.status();
  security.api = *std::move(api);
  return security;
}

// What the API's port has.
struct Services {
  InferenceService* inference = nullptr;
  PlacementService* placement = nullptr;
};

// What this process says of its readiness, and where.
struct Readiness {
  ServingGate gate;
  StatusPorts* ports = nullptr;
};

// Serves until a termination signal, then drains. Returns the exit code.
int Serve(const ApiPort& api, int max_request_bytes, const Services& services, Scheduler* scheduler,
          Readiness* readiness) {
  const MemoryTrim memory_trim;
  ListenerOptions listener_options = ApiListenerOptions(api, max_request_bytes);
  listener_options.address = absl::GetFlag(FLAGS_listen);
  listener_options.allow_plaintext_beyond_loopback =
      absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback);
  absl::StatusOr<std::unique_ptr<Listener>> started = Listener::Start(
      listener_options, services.inference,
      [&services](grpc::ServerBuilder& builder) { builder.RegisterService(services.placement); });
  if (!started.ok()) return ExitWith(started.status());
  Listener* const listener = started->get();
  StatusPorts* const ports = readiness->ports;
  readiness->gate.Open([listener, ports](bool serving) {
    listener->SetServing(serving);
    ports->health()->SetReady(serving);
  });
  const absl::Status written =
      WriteAddressFile(absl::GetFlag(FLAGS_address_file), {.rpc = listener->address(),
                                                           .metrics = ports->metrics_address(),
                                                           .health = ports->health()->address()});
  if (!written.ok()) {
    readiness->gate.Close();
    return ExitWith(written);
  }
  Log(LogLevel::kInfo, "listening",
      {{"address", listener->address()}, {"metrics_address", ports->metrics_address()}});

  const int signal = WaitForTerminationSignal();
  Log(LogLevel::kInfo, "draining",
      {{"signal", signal},
       {"running", scheduler->num_running()},
       {"waiting", scheduler->num_waiting()}});
  const absl::Time deadline = absl::Now() + DrainTimeoutFlag();
  readiness->gate.Close();
  listener->RefuseNewCalls();
  scheduler->Drain(deadline);
  scheduler->AwaitDelivered(std::max(deadline, absl::Now() + kDeliveryTime));
  listener->Shutdown(absl::Now() + kGoodbyeTime);
  Log(LogLevel::kInfo, "stopped");
  return kExitOk;
}

// Where attention runs: in this process, or behind --attention_workers.
struct Attention {
  std::unique_ptr<WorkerListFile> list;  // outlives what reads it
  std::unique_ptr<HostedAttention> hosted;
  std::unique_ptr<RemoteAttention> remote;

  std::vector<AttentionClient*> clients() const {
    if (remote != nullptr) return remote->clients();
    return {hosted->worker()};
  }
  v1::GetPlacementResponse Placement(const MixtralConfig& config) const {
    if (remote == nullptr) return hosted->Placement("coordinator");
    v1::GetPlacementResponse response;
    response.set_role("coordinator");
    response.set_num_layers(static_cast<uint32_t>(config.num_layers));
    response.set_num_experts(static_cast<uint32_t>(config.num_experts));
    for (v1::PlacedAttentionWorker& worker : remote->Placement()) {
      *response.add_attention_workers() = std::move(worker);
    }
    return response;
  }
  absl::Status readiness() const {
    return remote != nullptr ? remote->readiness() : hosted->readiness();
  }
};

uint64_t RandomCoordinatorId() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) | 1;
}

std::unique_ptr<RemoteAttention> FindAttention(const ServedModel& model, const Security& security,
                                               WorkerListFile* list, CoordinatorMetrics* metrics,
                                               ServingGate* gate) {
  RemoteAttentionOptions options;
  if (const std::string workers = absl::GetFlag(FLAGS_attention_workers); !workers.empty()) {
    options.addresses.targets = *ParseWorkerList(workers, "attention_workers");
  }
  if (list != nullptr) options.addresses.listed = [list] { return list->Targets(); };
  options.addresses.resolve = ResolveTarget;
  GrpcAttentionClientOptions& client = options.client;
  client.expected.digest = model.digest;
  client.expected.compute_dtype = model.compute_dtype;
  client.expected.config = model.config;
  client.expected.kv_block_size = absl::GetFlag(FLAGS_kv_block_size);
  client.expected.min_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  client.coordinator_id = RandomCoordinatorId();
  client.tls = WorkerTls(security.cluster);
  client.answer_timeout = absl::Seconds(absl::GetFlag(FLAGS_attention_timeout_s));
  options.leave_timeout = DrainTimeoutFlag();
  const absl::Duration patience = 2 * client.connect_timeout;
  auto remote = std::make_unique<RemoteAttention>(std::move(options), metrics,
                                                  [gate](bool ready) { gate->SetReady(ready); });
  // So that the first request finds the workers that are already there.
  remote->AwaitFirstAttempts(patience);
  return remote;
}

// Schedules and serves until the end. Returns the exit code.
int RunScheduler(const ServedModel& model, const Attention& attention, const Security& security,
                 CoordinatorMetrics* metrics, Readiness* readiness) {
  SecurityMetrics security_metrics(readiness->ports->registry());
  const TlsWatch watch({security.cluster, security.api.identity}, &security_metrics);
  std::unique_ptr<PeriodicTask> tokens_watch;
  if (security.api.access != nullptr) {
    tokens_watch = std::make_unique<PeriodicTask>(
        kTokensInterval, [access = security.api.access] { access->Refresh().IgnoreError(); });
  }
  TaskThread delivery, reading;
  Scheduler scheduler(attention.clients(), model.tokenizer.get(), metrics, SchedulingOptions());
  scheduler.Start();
  if (attention.remote != nullptr) {
    attention.remote->set_scheduler(
        [&scheduler] { scheduler.Wake(); },
        [&scheduler](AttentionClient* added) { scheduler.AddAttention(added); });
  }
  InferenceService::Dependencies dependencies;
  dependencies.model = &model;
  dependencies.scheduler = &scheduler;
  dependencies.delivery = &delivery;
  dependencies.reading = &reading;
  dependencies.metrics = metrics;
  dependencies.readiness = [&attention, gate = &readiness->gate] {
    const absl::Status ready = attention.readiness();
    return absl::Now() - gate->last_ready() < kMomentAway ? absl::OkStatus() : ready;
  };
  dependencies.slow_client_timeout = absl::Seconds(absl::GetFlag(FLAGS_slow_client_timeout_s));
  dependencies.access = security.api.access.get();
  dependencies.security_metrics = &security_metrics;
  InferenceService service(dependencies);
  PlacementService placement(
      [&] { return attention.Placement(model.config); },
      [&service](grpc::CallbackServerContext* context) { return service.Admit(context, nullptr); });
  const int exit_code =
      Serve(security.api, MaxApiMessageBytes(model),
            {.inference = &service, .placement = &placement}, &scheduler, readiness);
  if (attention.remote != nullptr) attention.remote->set_scheduler(nullptr, nullptr);
  return exit_code;
}

int Run(const std::shared_ptr<const Checkpoint>& checkpoint, const Security& security,
        StatusPorts* ports) {
  absl::StatusOr<ServedModel> model =
      DescribeServedModel(*checkpoint, ModelNameFlag(), absl::GetFlag(FLAGS_compute));
  if (!model.ok()) return ExitWith(model.status(), kExitCheckpoint);
  const std::shared_ptr<prometheus::Registry>& registry = ports->registry();
  CoordinatorMetrics metrics(registry);
  Readiness readiness = {.gate = {}, .ports = ports};
  ServingGate& gate = readiness.gate;
  Attention attention;
  if (AttentionIsRemote()) {
    model->backend = "remote";
    AddIdentityMetrics(*registry, Identity(*model));
    if (const std::string file = absl::GetFlag(FLAGS_attention_workers_file); !file.empty()) {
      absl::StatusOr<std::unique_ptr<WorkerListFile>> list =
          WorkerListFile::Open(file, "attention_workers_file");
      if (!list.ok()) return ExitWith(list.status());
      attention.list = *std::move(list);
    }
    attention.remote = FindAttention(*model, security, attention.list.get(), &metrics, &gate);
    ports->EndLoading();
    return RunScheduler(*model, attention, security, &metrics, &readiness);
  }
  const HostedAttentionOptions options = HostedAttentionFlags(security.cluster);
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateBackend(options.backend);
  if (!backend.ok()) return ExitWith(backend.status());
  model->backend = std::string((*backend)->name());
  AddIdentityMetrics(*registry, Identity(*model));
  absl::StatusOr<std::unique_ptr<HostedAttention>> hosted =
      HostedAttention::Create(checkpoint, *std::move(backend), registry, options,
                              [&gate](bool complete) { gate.SetReady(complete); });
  if (!hosted.ok()) return ExitWithLoading(hosted.status(), kExitCheckpoint);
  attention.hosted = *std::move(hosted);
  const absl::Status loaded = attention.hosted->Load();
  if (!loaded.ok()) return ExitWithLoading(loaded, ExitCodeOf(loaded));
  ports->EndLoading();
  const FailureWatch device([&attention] { return attention.hosted->device_failed(); });
  return device.ExitCode(RunScheduler(*model, attention, security, &metrics, &readiness));
}

int Main(int argc, char** argv) {
  IgnoreLockOrder();
  TakeTerminationSignals();
  const std::vector<char*> positional = ParseFlags(
      argc, argv,
      "Serves a Mixtral checkpoint: the public API, attention and the scheduler. For example:\n"
      "  coordinator --model=DIR --expert_workers=127.0.0.1:8481,127.0.0.1:8482\n"
      "  coordinator --model=DIR --experts_in_process\n"
      "  coordinator --model=DIR --attention_workers=127.0.0.1:8490,127.0.0.1:8491");
  InitLog("coordinator");
  if (!positional.empty()) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", positional.front(), "\"; see --help")));
  }
  const absl::Status flags = CheckFlags();
  if (!flags.ok()) return ExitWith(flags);
  if (!absl::GetFlag(FLAGS_experts_in_process)) PollOwnConnections();
  const absl::StatusOr<Security> security = SecurityFromFlags();
  if (!security.ok()) return ExitWith(security.status());
  const absl::StatusOr<std::unique_ptr<StatusPorts>> ports = StatusPorts::Start(
      absl::GetFlag(FLAGS_metrics_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!ports.ok()) return ExitWith(ports.status());
  absl::StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(absl::GetFlag(FLAGS_model));
  if (!checkpoint.ok()) return ExitWith(checkpoint.status(), kExitCheckpoint);
  const absl::Status worker_flags = CheckWorkerFlags();
  if (!worker_flags.ok()) return ExitWith(worker_flags);
  return Run(*checkpoint, *security, ports->get());
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
