// The coordinator process: loads attention weights, finds expert workers, serves, drains on
// SIGTERM.
#include "proto/serving/abseil_flag_types.h"

#include <prometheus/registry.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/grpc/grpc_expert_client.h"
#include "coordinator/grpc/address_resolver.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/grpc/delivery_thread.h"
#include "coordinator/grpc/inference_service.h"
#include "coordinator/grpc/serving_gate.h"
#include "coordinator/grpc/worker_discovery.h"
#include "coordinator/in_process_expert_client.h"
#include "coordinator/scheduler.h"
#include "coordinator/served_model.h"
#include "expert_worker/expert_set.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"
#include "model/log.h"
#include "model/tokenizer.h"
#include "proto/serving/address_file.h"
#include "proto/serving/host_port.h"
#include "proto/serving/listener.h"
#include "proto/serving/metrics_endpoint.h"
#include "proto/serving/process.h"

ABSL_FLAG(std::string, model, "", "Directory of a Hugging Face MixtralForCausalLM checkpoint.");
ABSL_FLAG(std::string, model_name, "",
          "Name that GetModel tells; empty: the last component of --model.");
ABSL_FLAG(std::string, listen, "127.0.0.1:8470",
          "HOST:PORT to serve the API on; port 0 takes a free one.");
ABSL_FLAG(std::string, metrics_listen, "",
          "HOST:PORT of the Prometheus endpoint, http://HOST:PORT/metrics; empty: none.");
ABSL_FLAG(std::string, address_file, "",
          "Where to write the addresses that were taken, for scripts; empty: nowhere.");
ABSL_FLAG(
    bool, allow_plaintext_beyond_loopback, false,
    "Allow --listen and --metrics_listen on addresses that other machines reach, without TLS.");
ABSL_FLAG(std::string, expert_workers, "",
          "HOST:PORT of expert workers, separated by commas. A name that resolves to several "
          "addresses stands for a worker at each; names are resolved again every few seconds.");
ABSL_FLAG(bool, experts_in_process, false, "Host all experts in this process; no expert workers.");
ABSL_FLAG(std::string, compute, "bf16",
          "Format of weights, activations and rows: bf16, or f32 for exact comparisons. As the "
          "expert workers'.");
ABSL_FLAG(int, threads, 0, "Threads that compute; 0: the processors this process may run on.");
ABSL_FLAG(std::string, cpu_isa, "",
          "Kernels to use: avx512_bf16, avx512, avx2 or portable; empty: the widest there is.");
ABSL_FLAG(int, kv_block_size, 16, "Tokens in a block of the KV cache; a multiple of 16.");
ABSL_FLAG(int64_t, kv_cache_tokens, 0,
          "Tokens that the KV cache holds over all requests; 0: eight times the model's context, "
          "as far as memory allows.");
ABSL_FLAG(int, max_step_tokens, 512,
          "Most tokens in one step: a token of each running request and, with what is left, parts "
          "of new prompts. Larger: prompts run faster; smaller: tokens come more evenly.");
ABSL_FLAG(int, max_running_requests, 64, "Most requests that run at once.");
ABSL_FLAG(int, max_waiting_requests, 256,
          "Most requests that wait to run; one more is answered with RESOURCE_EXHAUSTED.");
ABSL_FLAG(double, queue_timeout_s, 60,
          "Seconds that a request may wait to run before RESOURCE_EXHAUSTED; 0: no limit.");
ABSL_FLAG(double, slow_client_timeout_s, 60,
          "Seconds that a client which does not read its stream may hold its place.");
ABSL_FLAG(int64_t, expert_timeout_ms, 30000,
          "Milliseconds after which an expert worker's answer is given up; 0: no limit.");
ABSL_FLAG(double, drain_timeout_s, 30, "Seconds that SIGTERM leaves accepted requests to finish.");

namespace tramontane {
namespace {

// An expert worker that does not answer for so long is tried again later.
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);
// What clients get to end their connections when all requests have been answered. Those of idle
// ones stay open until this is over: gRPC's clients read the goodbye every few seconds only.
constexpr absl::Duration kGoodbyeTime = absl::Milliseconds(500);
// What clients get to read the ends of their requests, whenever these ended.
constexpr absl::Duration kDeliveryTime = absl::Seconds(2);

absl::Status CheckFlags() {
  const bool beyond_loopback = absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback);
  if (absl::GetFlag(FLAGS_model).empty()) {
    return absl::InvalidArgumentError("--model=DIR is missing; see --help");
  }
  const std::string compute = absl::GetFlag(FLAGS_compute);
  if (compute != "bf16" && compute != "f32") {
    return absl::InvalidArgumentError(
        absl::StrCat("--compute=", compute, ": expected bf16 or f32"));
  }
  if (absl::GetFlag(FLAGS_max_step_tokens) < 1 || absl::GetFlag(FLAGS_max_running_requests) < 1) {
    return absl::InvalidArgumentError(
        "--max_step_tokens and --max_running_requests: expected 1 or more");
  }
  if (absl::GetFlag(FLAGS_threads) < 0 || absl::GetFlag(FLAGS_max_waiting_requests) < 0 ||
      absl::GetFlag(FLAGS_kv_cache_tokens) < 0 || absl::GetFlag(FLAGS_expert_timeout_ms) < 0) {
    return absl::InvalidArgumentError(
        "--threads, --max_waiting_requests, --kv_cache_tokens and --expert_timeout_ms: expected 0 "
        "or more");
  }
  if (!(absl::GetFlag(FLAGS_queue_timeout_s) >= 0) ||
      !(absl::GetFlag(FLAGS_slow_client_timeout_s) > 0) ||
      !(absl::GetFlag(FLAGS_drain_timeout_s) >= 0)) {
    return absl::InvalidArgumentError(
        "--queue_timeout_s and --drain_timeout_s: expected 0 or more; --slow_client_timeout_s: "
        "expected more than 0");
  }
  // Before minutes of loading, not after.
  const std::string metrics = absl::GetFlag(FLAGS_metrics_listen);
  if (!metrics.empty()) {
    const absl::Status allowed = CheckPlaintextAddress(metrics, "metrics_listen", beyond_loopback);
    if (!allowed.ok()) return allowed;
  }
  return CheckPlaintextAddress(absl::GetFlag(FLAGS_listen), "listen", beyond_loopback);
}

absl::Status CheckExpertFlags() {
  const std::string workers = absl::GetFlag(FLAGS_expert_workers);
  if (absl::GetFlag(FLAGS_experts_in_process) == workers.empty()) {
    return workers.empty() ? absl::OkStatus() : ParseWorkerList(workers).status();
  }
  return absl::InvalidArgumentError(
      "expected exactly one of --expert_workers=HOST:PORT,… and --experts_in_process");
}

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend() {
  CpuBackendOptions options;
  options.compute_dtype = absl::GetFlag(FLAGS_compute) == "f32" ? DType::kF32 : DType::kBF16;
  options.num_threads = absl::GetFlag(FLAGS_threads);
  options.isa = absl::GetFlag(FLAGS_cpu_isa);
  return CreateCpuBackend(options);
}

absl::StatusOr<ServedModel> DescribeModel(const Checkpoint& checkpoint, const Backend& backend) {
  ServedModel model;
  model.name = absl::GetFlag(FLAGS_model_name);
  if (model.name.empty()) {
    const std::filesystem::path directory(checkpoint.directory());
    model.name = (directory.has_filename() ? directory : directory.parent_path()).filename();
  }
  model.digest = checkpoint.digest();
  model.compute_dtype = absl::GetFlag(FLAGS_compute);
  model.backend = std::string(backend.name());
  model.config = checkpoint.config();
  model.eos_token_ids = checkpoint.eos_token_ids();
  absl::StatusOr<RequestDefaults> defaults = RequestDefaultsFrom(checkpoint.generation_defaults());
  if (!defaults.ok()) return defaults.status();
  model.defaults = *defaults;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Load(checkpoint.directory(), model.config.vocab_size);
  if (tokenizer.ok()) {
    model.tokenizer = *std::move(tokenizer);
  } else if (absl::IsNotFound(tokenizer.status())) {
    Log(LogLevel::kWarning, "no tokenizer: prompts are token ids only",
        {{"reason", tokenizer.status().message()}});
  } else {
    return tokenizer.status();
  }
  return model;
}

// Where the experts are: in this process, or behind discovery.
struct Experts {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<HostedExperts> hosted;
  std::unique_ptr<FixedExpertDirectory> fixed;
  std::unique_ptr<WorkerDiscovery> discovery;

  const ExpertDirectory* directory() const {
    if (discovery != nullptr) return discovery.get();
    return fixed.get();
  }
  absl::Status readiness() const {
    return discovery == nullptr ? absl::OkStatus() : discovery->readiness();
  }
};

absl::StatusOr<Experts> HostExperts(const std::shared_ptr<const Checkpoint>& checkpoint,
                                    ServingGate& gate) {
  const MixtralConfig& config = checkpoint->config();
  Experts experts;
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateBackend();
  if (!backend.ok()) return backend.status();
  experts.backend = *std::move(backend);
  const absl::StatusOr<ExpertSet> all =
      ExpertSet::Parse("all", config.num_layers, config.num_experts);
  if (!all.ok()) return all.status();
  absl::StatusOr<std::unique_ptr<HostedExperts>> hosted =
      HostedExperts::Load(checkpoint, *all, experts.backend.get());
  if (!hosted.ok()) return hosted.status();
  experts.hosted = *std::move(hosted);
  ExpertExecutorOptions options;
  options.max_batch_rows =
      std::max(options.max_batch_rows, absl::GetFlag(FLAGS_max_step_tokens) * config.top_k);
  const std::vector<std::shared_ptr<ExpertClient>> clients = {
      std::make_shared<InProcessExpertClient>(experts.hosted.get(), options)};
  experts.fixed = std::make_unique<FixedExpertDirectory>(
      BuildPlacement(config.num_layers, config.num_experts, clients));
  gate.OnPlacement(0);
  return experts;
}

Experts FindExperts(const Checkpoint& checkpoint, const Backend& backend, ServingGate& gate) {
  const MixtralConfig& config = checkpoint.config();
  ExpertWorkerExpectation expected;
  expected.digest = checkpoint.digest();
  expected.row_dtype = backend.compute_dtype();
  expected.num_layers = config.num_layers;
  expected.num_experts = config.num_experts;
  expected.hidden_size = config.hidden_size;
  expected.intermediate_size = config.intermediate_size;

  WorkerDiscoveryOptions options;
  options.targets = *ParseWorkerList(absl::GetFlag(FLAGS_expert_workers));
  options.num_layers = config.num_layers;
  options.num_experts = config.num_experts;
  options.resolve = ResolveTarget;
  options.connect = [expected, kernels = std::string(backend.name())](
                        const std::string& address,
                        std::function<void(const absl::Status&)> on_disconnect) {
    GrpcExpertClientOptions client_options;
    client_options.connect_timeout = kConnectTimeout;
    client_options.on_disconnect = std::move(on_disconnect);
    absl::StatusOr<std::shared_ptr<ExpertClient>> client =
        ConnectExpertWorker(address, expected, client_options);
    if (client.ok() && (*client)->description().backend != kernels) {
      Log(LogLevel::kWarning, "expert worker has other kernels: last bits may depend on placement",
          {{"worker", address},
           {"expected", kernels},
           {"found", (*client)->description().backend}});
    }
    return client;
  };
  Experts experts;
  experts.discovery = std::make_unique<WorkerDiscovery>(std::move(options), &gate);
  return experts;
}

AttentionWorkerOptions AttentionOptions() {
  AttentionWorkerOptions options;
  options.kv_block_size = absl::GetFlag(FLAGS_kv_block_size);
  options.kv_cache_tokens = absl::GetFlag(FLAGS_kv_cache_tokens);
  options.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.expert_timeout_ms = absl::GetFlag(FLAGS_expert_timeout_ms);
  return options;
}

SchedulerOptions SchedulingOptions() {
  SchedulerOptions options;
  options.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.max_running_requests = absl::GetFlag(FLAGS_max_running_requests);
  options.max_waiting_requests = absl::GetFlag(FLAGS_max_waiting_requests);
  options.queue_timeout = absl::Seconds(absl::GetFlag(FLAGS_queue_timeout_s));
  options.slow_client_timeout = absl::Seconds(absl::GetFlag(FLAGS_slow_client_timeout_s));
  return options;
}

// Serves until a termination signal, then drains. Returns the exit code.
int Serve(const std::shared_ptr<prometheus::Registry>& registry, InferenceService* service,
          Scheduler* scheduler, ServingGate* gate) {
  const bool beyond_loopback = absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback);
  absl::StatusOr<std::unique_ptr<MetricsEndpoint>> metrics_endpoint =
      MetricsEndpoint::Start(absl::GetFlag(FLAGS_metrics_listen), beyond_loopback, registry);
  if (!metrics_endpoint.ok()) return ExitWith(metrics_endpoint.status());
  ListenerOptions listener_options;
  listener_options.address = absl::GetFlag(FLAGS_listen);
  listener_options.allow_plaintext_beyond_loopback = beyond_loopback;
  absl::StatusOr<std::unique_ptr<Listener>> started = Listener::Start(listener_options, service);
  if (!started.ok()) return ExitWith(started.status());
  Listener* const listener = started->get();
  gate->Open([listener](bool serving) { listener->SetServing(serving); });
  const absl::Status written = WriteAddressFile(
      absl::GetFlag(FLAGS_address_file), listener->address(), (*metrics_endpoint)->address());
  if (!written.ok()) {
    gate->Close();
    return ExitWith(written);
  }
  Log(LogLevel::kInfo, "listening",
      {{"address", listener->address()}, {"metrics_address", (*metrics_endpoint)->address()}});

  const int signal = WaitForTerminationSignal();
  Log(LogLevel::kInfo, "draining",
      {{"signal", signal},
       {"running", scheduler->num_running()},
       {"waiting", scheduler->num_waiting()}});
  const absl::Time deadline = absl::Now() + absl::Seconds(absl::GetFlag(FLAGS_drain_timeout_s));
  gate->Close();
  scheduler->Drain(deadline);
  scheduler->AwaitDelivered(std::max(deadline, absl::Now() + kDeliveryTime));
  listener->Shutdown(absl::Now() + kGoodbyeTime);
  Log(LogLevel::kInfo, "stopped");
  return kExitOk;
}

int Run(const std::shared_ptr<const Checkpoint>& checkpoint) {
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateBackend();
  if (!backend.ok()) return ExitWith(backend.status());
  absl::StatusOr<ServedModel> model = DescribeModel(*checkpoint, **backend);
  if (!model.ok()) return ExitWith(model.status(), kExitCheckpoint);

  auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(registry, *model, TRAMONTANE_VERSION);
  ServingGate gate(&metrics);
  DeliveryThread delivery;
  absl::StatusOr<Experts> experts = absl::GetFlag(FLAGS_experts_in_process)
                                        ? HostExperts(checkpoint, gate)
                                        : FindExperts(*checkpoint, **backend, gate);
  if (!experts.ok()) return ExitWith(experts.status(), kExitCheckpoint);
  absl::StatusOr<std::unique_ptr<AttentionWorker>> attention = AttentionWorker::Create(
      checkpoint, backend->get(), experts->directory(), &metrics, AttentionOptions());
  if (!attention.ok()) return ExitWith(attention.status());
  if (experts->discovery != nullptr) {
    // So that the first request finds the workers that are already there.
    experts->discovery->AwaitFirstAttempts(2 * kConnectTimeout);
  }

  Scheduler scheduler({attention->get()}, model->tokenizer.get(), &metrics, SchedulingOptions());
  scheduler.Start();
  InferenceService::Dependencies dependencies;
  dependencies.model = &*model;
  dependencies.scheduler = &scheduler;
  dependencies.delivery = &delivery;
  dependencies.metrics = &metrics;
  dependencies.readiness = [&experts] { return experts->readiness(); };
  dependencies.slow_client_timeout = absl::Seconds(absl::GetFlag(FLAGS_slow_client_timeout_s));
  InferenceService service(dependencies);
  return Serve(registry, &service, &scheduler, &gate);
}

int Main(int argc, char** argv) {
  BlockTerminationSignals();
  const std::vector<char*> positional = ParseFlags(
      argc, argv,
      "Serves a Mixtral checkpoint: the public API, attention and the scheduler. For example:\n"
      "  coordinator --model=DIR --expert_workers=127.0.0.1:8481,127.0.0.1:8482\n"
      "  coordinator --model=DIR --experts_in_process");
  InitLog("coordinator");
  if (!positional.empty()) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", positional.front(), "\"; see --help")));
  }
  const absl::Status flags = CheckFlags();
  if (!flags.ok()) return ExitWith(flags);
  absl::StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(absl::GetFlag(FLAGS_model));
  if (!checkpoint.ok()) return ExitWith(checkpoint.status(), kExitCheckpoint);
  const absl::Status expert_flags = CheckExpertFlags();
  if (!expert_flags.ok()) return ExitWith(expert_flags);
  return Run(*checkpoint);
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
