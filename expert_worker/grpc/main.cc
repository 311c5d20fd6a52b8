// The expert_worker process: loads its experts, listens, computes, drains on SIGTERM.
#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>

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
#include "expert_worker/expert_executor.h"
#include "expert_worker/expert_set.h"
#include "expert_worker/grpc/backend_flags.h"
#include "expert_worker/grpc/expert_service.h"
#include "expert_worker/grpc/expert_worker_metrics.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/backend.h"
#include "kernels/create_backend.h"
#include "kernels/processor_count.h"
#include "model/checkpoint.h"
#include "model/log.h"
#include "proto/serving/abseil_flag_types.h"
#include "proto/serving/address_file.h"
#include "proto/serving/failure_watch.h"
#include "proto/serving/flag_range.h"
#include "proto/serving/hop_spin.h"
#include "proto/serving/listener.h"
#include "proto/serving/memory_trim.h"
#include "proto/serving/polling.h"
#include "proto/serving/process.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/status_ports.h"
#include "proto/serving/tls_watch.h"
#include "proto/serving/worker_port.h"

ABSL_FLAG(std::string, model, "", "Directory of a Hugging Face MixtralForCausalLM checkpoint.");
ABSL_FLAG(std::string, experts, "all",
          "Experts to host: \"0-3\" or \"0,5\" of every layer, \"0-15:0-3,16-31:4-7\" by layers, "
          "or \"all\".");
ABSL_FLAG(
    std::string, listen, "127.0.0.1:8481",
    "HOST:PORT to serve on, port 0 takes a free one; or unix:PATH, for peers on this machine.");
ABSL_FLAG(std::string, metrics_listen, "",
          "HOST:PORT of the Prometheus endpoint, http://HOST:PORT/metrics; empty: none.");
ABSL_FLAG(std::string, address_file, "",
          "Where to write the addresses that were taken, for scripts; empty: nowhere.");
ABSL_FLAG(
    bool, allow_plaintext_beyond_loopback, false,
    "Allow --listen and --metrics_listen on addresses that other machines reach, without TLS.");
ABSL_FLAG(int, max_queued_batches, 64,
          "Batches that may wait to be computed; one more is answered with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int, max_batch_rows, 65536, "Most (row, expert) pairs in one batch.");
ABSL_FLAG(
    int, max_answer_mib, 4096,
    "Most MiB of answers that are computed or that peers have not taken yet; a batch that finds "
    "no room for its answer is answered with RESOURCE_EXHAUSTED. One answer has room always.");
ABSL_FLAG(int, max_merged_rows, 1024,
          "Most (row, expert) pairs in waiting batches of one layer that are computed together; a "
          "larger batch is computed alone. 1: each batch alone.");
ABSL_FLAG(int, merge_linger_us, 0,
          "Microseconds that a batch waits at most, while fewer streams have batches waiting than "
          "are active, for others of its layer; 0: never. At most a second.");
ABSL_FLAG(double, drain_timeout_s, 30,
          "Seconds that SIGTERM leaves queued batches and open streams to finish.");

namespace tramontane {
namespace {

// The thread that waits for a device may be the one that polls: what is computed is over soon, and
// its answer, and the next batch, are handled without another thread.
constexpr int kMaxInlineRowsOnDevice = 64;

absl::Status CheckFlags() {
  if (absl::GetFlag(FLAGS_model).empty()) {
    return absl::InvalidArgumentError("--model=DIR is missing; see --help");
  }
  const absl::Status least =
      CheckAtLeast(1, {{"max_queued_batches", absl::GetFlag(FLAGS_max_queued_batches)},
                       {"max_batch_rows", absl::GetFlag(FLAGS_max_batch_rows)},
                       {"max_merged_rows", absl::GetFlag(FLAGS_max_merged_rows)},
                       {"max_answer_mib", absl::GetFlag(FLAGS_max_answer_mib)}});
  if (!least.ok()) return least;
  const int linger = absl::GetFlag(FLAGS_merge_linger_us);
  if (linger < 0 || linger > 1'000'000) {
    return absl::InvalidArgumentError(
        absl::StrCat("--merge_linger_us=", linger, ": expected 0 to 1000000"));
  }
  const absl::Status drain =
      CheckAtLeast(0, {{"drain_timeout_s", absl::GetFlag(FLAGS_drain_timeout_s)}});
  if (!drain.ok()) return drain;
  return CheckHopSpinFlag();
}

ExpertExecutorOptions ExecutorOptions(const Backend& backend) {
  ExpertExecutorOptions options;
  if (!backend.host_sees_memory()) options.max_inline_rows = kMaxInlineRowsOnDevice;
  options.max_queued_batches = absl::GetFlag(FLAGS_max_queued_batches);
  options.max_batch_rows = absl::GetFlag(FLAGS_max_batch_rows);
  options.max_answer_bytes = static_cast<size_t>(absl::GetFlag(FLAGS_max_answer_mib)) << 20;
  options.max_merged_rows = absl::GetFlag(FLAGS_max_merged_rows);
  options.merge_linger = absl::Microseconds(absl::GetFlag(FLAGS_merge_linger_us));
  return options;
}

// Serves until a termination signal, then drains. Returns the exit code.
int Serve(const HostedExperts& experts, const WorkerPort& port, StatusPorts* status) {
  const std::shared_ptr<prometheus::Registry>& registry = status->registry();
  SecurityMetrics security_metrics(registry);
  const TlsWatch watch({port.identity}, &security_metrics);
  ExpertWorkerMetrics metrics(registry, experts.set());
  const ExpertExecutorOptions executor_options = ExecutorOptions(*experts.backend());
  ExpertExecutor executor(&experts, &metrics, executor_options);
  ExpertService service(&experts, &executor, executor_options);

  const MemoryTrim memory_trim;
  const bool beyond_loopback = absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback);
  ListenerOptions listener_options;
  listener_options.address = absl::GetFlag(FLAGS_listen);
  listener_options.allow_plaintext_beyond_loopback = beyond_loopback;
  listener_options.credentials = WorkerPortCredentials(port, &security_metrics);
  listener_options.max_message_bytes = MaxExpertMessageBytes(experts, executor_options);
  absl::StatusOr<std::unique_ptr<Listener>> listener =
      Listener::StartLoop(listener_options, service.Methods(), HopSpinFromFlag(ProcessorCount()),
                          ConfigureExpertServer);
  if (!listener.ok()) return ExitWith(listener.status());
  (*listener)->SetServing(true);
  status->health()->SetReady(true);
  const absl::Status written =
      WriteAddressFile(absl::GetFlag(FLAGS_address_file), {.rpc = (*listener)->address(),
                                                           .metrics = status->metrics_address(),
                                                           .health = status->health()->address()});
  if (!written.ok()) return ExitWith(written);
  Log(LogLevel::kInfo, "listening",
      {{"address", (*listener)->address()},
       {"metrics_address", status->metrics_address()},
       {"experts", experts.set().size()},
       {"digest", experts.checkpoint().digest()}});

  const FailureWatch device([&experts] { return experts.backend()->failed(); });
  const int signal = WaitForTerminationSignal();
  Log(LogLevel::kInfo, "draining", {{"signal", signal}, {"queued", executor.queued_batches()}});
  const absl::Time deadline = absl::Now() + absl::Seconds(absl::GetFlag(FLAGS_drain_timeout_s));
  status->health()->SetReady(false);
  (*listener)->SetServing(false);
  service.Drain(deadline);
  (*listener)->Shutdown(deadline);
  Log(LogLevel::kInfo, "stopped");
  return device.ExitCode(kExitOk);
}

int Main(int argc, char** argv) {
  IgnoreLockOrder();
  TakeTerminationSignals();
  const std::vector<char*> positional =
      ParseFlags(argc, argv,
                 "Hosts experts of a Mixtral checkpoint for attention workers. For example:\n"
                 "  expert_worker --model=DIR --experts=0-3 --listen=127.0.0.1:8481");
  InitLog("expert_worker");
  if (!positional.empty()) {
    return ExitWith(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", positional.front(), "\"; see --help")));
  }
  const absl::Status flags = CheckFlags();
  if (!flags.ok()) return ExitWith(flags);
  PollOwnConnections();
  const absl::StatusOr<WorkerPort> port = WorkerPortFromFlags(
      absl::GetFlag(FLAGS_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!port.ok()) return ExitWith(port.status());
  const absl::StatusOr<std::unique_ptr<StatusPorts>> status_ports = StatusPorts::Start(
      absl::GetFlag(FLAGS_metrics_listen), absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback));
  if (!status_ports.ok()) return ExitWith(status_ports.status());
  const absl::StatusOr<BackendOptions> backend_options = BackendFlags();
  if (!backend_options.ok()) return ExitWith(backend_options.status());
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateBackend(*backend_options);
  if (!backend.ok()) return ExitWith(backend.status());

  absl::StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(absl::GetFlag(FLAGS_model));
  if (!checkpoint.ok()) return ExitWith(checkpoint.status(), kExitCheckpoint);
  const MixtralConfig& config = (*checkpoint)->config();
  absl::StatusOr<ExpertSet> set =
      ExpertSet::Parse(absl::GetFlag(FLAGS_experts), config.num_layers, config.num_experts);
  if (!set.ok()) return ExitWith(set.status());
  absl::StatusOr<std::unique_ptr<HostedExperts>> experts =
      HostedExperts::Load(*checkpoint, *set, backend->get());
  if (!experts.ok()) return ExitWithLoading(experts.status(), kExitCheckpoint);
  (*status_ports)->EndLoading();
  return Serve(**experts, *port, status_ports->get());
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) { return tramontane::Main(argc, argv); }
