// Whole requests against real processes: decode of one sequence and prefill of 512 tokens, with the
// experts in the coordinator's process and on two expert workers, each as a share of what the
// machine can do at most, probed just before and after.
//
//   generation_benchmark --model=DIR [--benchmark_filter=…]
#include "proto/serving/abseil_flag_types.h"

#include <benchmark/benchmark.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "tests/benchmark/machine_probe.h"
#include "tests/integration/cluster.h"

ABSL_FLAG(std::string, model, "", "checkpoint directory, as synthetic_checkpoint makes it");
ABSL_FLAG(int, decode_tokens, 48, "new tokens of a decode run");
ABSL_FLAG(int, prefill_tokens, 512, "prompt tokens of a prefill run");

namespace tramontane {
namespace {

// Parameters that act on one token, and of them those that a matrix product reads (no embedding).
struct ActiveParameters {
  double bytes_a_token = 0;       // bf16, as decode of one sequence reads them
  double operations_a_token = 0;  // a multiply-add is two; the LM head runs for one row only
};

ActiveParameters CountActive(const v1::GetModelResponse& model) {
  const double hidden = model.hidden_size();
  const double heads = model.head_dim() * (2.0 * model.num_heads() + 2.0 * model.num_kv_heads());
  const double experts = 3.0 * model.top_k() * hidden * model.intermediate_size();
  const double layer = hidden * heads + experts + hidden * model.num_experts();
  ActiveParameters active;
  active.bytes_a_token = 2 * (model.num_layers() * layer + hidden * model.vocab_size());
  active.operations_a_token = 2 * model.num_layers() * layer;
  return active;
}

struct Setup {
  std::string name;
  std::vector<std::string> worker_experts;  // none: experts in process
  std::vector<std::string> coordinator_flags;
};

class GenerationBenchmark {
 public:
  explicit GenerationBenchmark(const Setup& setup) {
    ClusterOptions options;
    options.model = absl::GetFlag(FLAGS_model);
    options.worker_experts = setup.worker_experts;
    options.coordinator_flags = setup.coordinator_flags;
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    if (!cluster.ok()) {
      std::fprintf(stderr, "%s\n", cluster.status().ToString().c_str());
      std::exit(1);
    }
    cluster_ = *std::move(cluster);
    grpc::ClientContext context;
    cluster_->stub().GetModel(&context, v1::GetModelRequest(), &model_);
  }

  // Seconds from the request to its first token, and from there to the last.
  std::pair<double, double> Run(int prompt_tokens, int new_tokens) {
    v1::GenerateRequest request;
    for (int i = 0; i < prompt_tokens; ++i) {
      request.add_prompt_token_ids((1 + 7919u * static_cast<uint32_t>(i + run_)) %
                                   model_.vocab_size());
    }
    ++run_;
    request.set_max_tokens(new_tokens);
    request.set_temperature(0);
    request.set_ignore_eos(true);
    grpc::ClientContext context;
    const auto start = std::chrono::steady_clock::now();
    auto first = start;
    auto reader = cluster_->stub().Generate(&context, request);
    v1::GenerateResponse response;
    int received = 0;
    while (reader->Read(&response)) {
      if (received == 0 && response.token_ids_size() > 0) first = std::chrono::steady_clock::now();
      received += response.token_ids_size();
    }
    const auto end = std::chrono::steady_clock::now();
    const grpc::Status status = reader->Finish();
    if (!status.ok() || received != new_tokens) {
      std::fprintf(stderr, "generate: %s\n", status.error_message().c_str());
      std::exit(1);
    }
    return {std::chrono::duration<double>(first - start).count(),
            std::chrono::duration<double>(end - first).count()};
  }

  const v1::GetModelResponse& model() const { return model_; }

 private:
  std::unique_ptr<Cluster> cluster_;
  v1::GetModelResponse model_;
  int run_ = 0;
};

int NumThreads() { return std::max(1u, std::thread::hardware_concurrency()); }

void Decode(benchmark::State& state, const Setup& setup) {
  const double before = MeasureReadBandwidth(NumThreads());
  const int num_tokens = absl::GetFlag(FLAGS_decode_tokens);
  double rate = 0, best = 0;
  ActiveParameters active;
  {
    GenerationBenchmark generation(setup);
    active = CountActive(generation.model());
    generation.Run(16, 8);
    for (auto _ : state) {
      const double seconds = generation.Run(16, num_tokens).second;
      state.SetIterationTime(seconds);
      rate += (num_tokens - 1) / seconds;
      best = std::max(best, (num_tokens - 1) / seconds);
    }
  }
  rate /= static_cast<double>(state.iterations());
  const double after = MeasureReadBandwidth(NumThreads());
  const double bound = (before + after) / 2 / active.bytes_a_token;
  state.counters["tok/s"] = rate;
  state.counters["best_tok/s"] = best;
  state.counters["GB/tok"] = active.bytes_a_token / 1e9;
  state.counters["probe_before_GB/s"] = before / 1e9;
  state.counters["probe_after_GB/s"] = after / 1e9;
  state.counters["of_bound"] = rate / bound;
}

void Prefill(benchmark::State& state, const Setup& setup) {
  const double before = MeasureBf16Peak(NumThreads());
  const int num_tokens = absl::GetFlag(FLAGS_prefill_tokens);
  double rate = 0;
  ActiveParameters active;
  {
    GenerationBenchmark generation(setup);
    active = CountActive(generation.model());
    generation.Run(num_tokens, 1);
    for (auto _ : state) {
      const double seconds = generation.Run(num_tokens, 1).first;
      state.SetIterationTime(seconds);
      rate += num_tokens / seconds;
    }
  }
  rate /= static_cast<double>(state.iterations());
  const double after = MeasureBf16Peak(NumThreads());
  state.counters["tok/s"] = rate;
  state.counters["GFLOP/tok"] = active.operations_a_token / 1e9;
  state.counters["probe_before_GFLOP/s"] = before / 1e9;
  state.counters["probe_after_GFLOP/s"] = after / 1e9;
  state.counters["of_peak"] = rate * active.operations_a_token / ((before + after) / 2);
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_model).empty()) {
    std::fprintf(stderr, "error: --model=DIR is needed\n");
    return 2;
  }
  using tramontane::Decode;
  using tramontane::Prefill;
  using tramontane::Setup;
  for (const Setup& setup :
       {Setup{"in_process", {}, {}}, Setup{"two_workers", {"0-3", "4-7"}, {}},
        Setup{"two_workers_ping_pong", {"0-3", "4-7"}, {"--ping_pong_min_rows=128"}}}) {
    benchmark::RegisterBenchmark(("Decode/" + setup.name).c_str(), Decode, setup)
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("Prefill/" + setup.name).c_str(), Prefill, setup)
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
