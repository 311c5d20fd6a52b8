#include "attention_worker/grpc/attention_flags.h"

#include <filesystem>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "attention_worker/grpc/address_resolver.h"
#include "attention_worker/grpc/worker_list_file.h"
#include "expert_worker/grpc/backend_flags.h"
#include "kernels/processor_count.h"
#include "proto/serving/flag_range.h"
#include "proto/serving/hop_spin.h"

ABSL_FLAG(std::string, model, "", "Directory of a Hugging Face MixtralForCausalLM checkpoint.");
ABSL_FLAG(std::string, model_name, "",
          "Name by which the model is known; empty: the last component of --model.");
ABSL_FLAG(std::string, metrics_listen, "",
          "HOST:PORT of the Prometheus endpoint, http://HOST:PORT/metrics; empty: none.");
ABSL_FLAG(std::string, address_file, "",
          "Where to write the addresses that were taken, for scripts; empty: nowhere.");
ABSL_FLAG(
    bool, allow_plaintext_beyond_loopback, false,
    "Allow --listen and --metrics_listen on addresses that other machines reach, without TLS.");
ABSL_FLAG(
    std::string, expert_workers, "",
    "HOST:PORT, or unix:PATH on this machine, of expert workers, separated by commas. A name "
    "that resolves to several addresses stands for a worker at each; names are resolved again "
    "every few seconds.");
ABSL_FLAG(std::string, expert_workers_file, "",
          "File with HOST:PORT or unix:PATH of an expert worker on each line, beside "
          "--expert_workers or in its "
          "place; read again when it changes. Workers appear and leave without a restart.");
ABSL_FLAG(bool, experts_in_process, false, "Host all experts in this process; no expert workers.");
ABSL_FLAG(
    bool, allow_mixed_backends, false,
    "Use replicas of an expert that compute on different kernels, such as of a CPU and of a GPU: "
    "then a token may depend on which replica computes it.");
ABSL_FLAG(std::string, worker_tls_name, "",
          "With --tls_ca: the name that certificates of workers must have; empty: the address that "
          "is connected to, which for a name that was resolved is the IP address.");
ABSL_FLAG(int, kv_block_size, 16, "Tokens in a block of the KV cache; a multiple of 16.");
ABSL_FLAG(int64_t, kv_cache_tokens, 0,
          "Tokens that the KV cache holds over all requests; 0: eight times the model's context, "
          "as far as memory allows.");
ABSL_FLAG(int, max_step_tokens, 512,
          "Most tokens in one step: a token of each running request and, with what is left, parts "
          "of new prompts. Larger: prompts run faster; smaller: tokens come more evenly.");
ABSL_FLAG(int, ping_pong_min_rows, 0,
          "Steps of at least so many tokens run as two halves, attention of one while the experts "
          "work on the other; 0: never. It changes no token.");
ABSL_FLAG(int64_t, expert_timeout_ms, 30000,
          "Milliseconds after which an expert worker's answer is given up, also where no other "
          "worker has the expert; 0: no limit.");
ABSL_FLAG(int64_t, expert_wait_timeout_ms, 30000,
          "Milliseconds that requests wait for a worker with an expert that nobody hosts; 0: they "
          "fail at once.");
ABSL_FLAG(double, hedge_after, 0,
          "Times the expected latency of an expert worker's answer after which a second worker is "
          "asked as well; 0: never.");
ABSL_FLAG(double, drain_timeout_s, 30, "Seconds that SIGTERM leaves accepted work to finish.");

namespace tramontane {

absl::Status CheckAttentionFlags() {
  if (absl::GetFlag(FLAGS_model).empty()) {
    return absl::InvalidArgumentError("--model=DIR is missing; see --help");
  }
  const absl::Status backend = BackendFlags().status();
  if (!backend.ok()) return backend;
  const absl::Status spin = CheckHopSpinFlag();
  if (!spin.ok()) return spin;
  absl::Status range = CheckAtLeast(1, {{"max_step_tokens", absl::GetFlag(FLAGS_max_step_tokens)},
                                        {"kv_block_size", absl::GetFlag(FLAGS_kv_block_size)}});
  if (!range.ok()) return range;
  return CheckAtLeast(0, {{"kv_cache_tokens", absl::GetFlag(FLAGS_kv_cache_tokens)},
                          {"ping_pong_min_rows", absl::GetFlag(FLAGS_ping_pong_min_rows)},
                          {"expert_timeout_ms", absl::GetFlag(FLAGS_expert_timeout_ms)},
                          {"expert_wait_timeout_ms", absl::GetFlag(FLAGS_expert_wait_timeout_ms)},
                          {"hedge_after", absl::GetFlag(FLAGS_hedge_after)},
                          {"drain_timeout_s", absl::GetFlag(FLAGS_drain_timeout_s)}});
}

absl::Status CheckExpertFlags(absl::string_view or_else) {
  const std::string workers = absl::GetFlag(FLAGS_expert_workers);
  const std::string file = absl::GetFlag(FLAGS_expert_workers_file);
  if (absl::GetFlag(FLAGS_experts_in_process) != (workers.empty() && file.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected --experts_in_process, or else --expert_workers=HOST:PORT,… or "
                     "--expert_workers_file=PATH or both",
                     or_else));
  }
  return CheckWorkerLists(workers, "expert_workers", file, "expert_workers_file");
}

absl::Status CheckWorkerLists(const std::string& workers, const std::string& workers_flag,
                              const std::string& file, const std::string& file_flag) {
  if (!workers.empty()) {
    absl::Status parsed = ParseWorkerList(workers, workers_flag).status();
    if (!parsed.ok()) return parsed;
  }
  return file.empty() ? absl::OkStatus() : WorkerListFile::Open(file, file_flag).status();
}

std::string ModelNameFlag() {
  const std::string name = absl::GetFlag(FLAGS_model_name);
  if (!name.empty()) return name;
  const std::filesystem::path directory(absl::GetFlag(FLAGS_model));
  return (directory.has_filename() ? directory : directory.parent_path()).filename();
}

absl::Duration DrainTimeoutFlag() { return absl::Seconds(absl::GetFlag(FLAGS_drain_timeout_s)); }

TlsClient WorkerTls(std::shared_ptr<const TlsIdentity> identity) {
  return {.identity = std::move(identity), .server_name = absl::GetFlag(FLAGS_worker_tls_name)};
}

HostedAttentionOptions HostedAttentionFlags(std::shared_ptr<const TlsIdentity> identity) {
  HostedAttentionOptions options;
  options.backend = *BackendFlags();
  options.attention.kv_block_size = absl::GetFlag(FLAGS_kv_block_size);
  options.attention.kv_cache_tokens = absl::GetFlag(FLAGS_kv_cache_tokens);
  options.attention.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.attention.ping_pong_min_rows = absl::GetFlag(FLAGS_ping_pong_min_rows);
  options.attention.expert_timeout_ms = absl::GetFlag(FLAGS_expert_timeout_ms);
  options.attention.expert_wait_timeout_ms = absl::GetFlag(FLAGS_expert_wait_timeout_ms);
  options.attention.hedge_after = absl::GetFlag(FLAGS_hedge_after);
  options.answer_spin = HopSpinFromFlag(ProcessorCount());
  options.allow_mixed_backends = absl::GetFlag(FLAGS_allow_mixed_backends);
  options.experts_in_process = absl::GetFlag(FLAGS_experts_in_process);
  options.expert_tls = WorkerTls(std::move(identity));
  if (const std::string workers = absl::GetFlag(FLAGS_expert_workers); !workers.empty()) {
    options.expert_workers = *ParseWorkerList(workers, "expert_workers");
  }
  options.expert_workers_file = absl::GetFlag(FLAGS_expert_workers_file);
  return options;
}

}  // namespace tramontane
