// What a scheduling round costs beside the model: so many sequences run, so many wait. The
// attention worker is free of cost, so the figure is the scheduler's own. It should grow with the
// sequences that run, each of which has a row in every step, and not with those that wait.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "coordinator/scheduler.h"

namespace tramontane {
namespace {

constexpr int kBlockSize = 16;

// Answers at once, with a token that says nothing, and never runs out of KV blocks.
class CostlessAttention final : public AttentionClient {
 public:
  absl::StatusOr<int> AddSequence(const SequenceSpec& /*spec*/) override { return 0; }
  absl::StatusOr<StepResult> Step(const StepRequest& request) override {
    StepResult result;
    result.chunks.resize(request.chunks.size());
    for (size_t i = 0; i < request.chunks.size(); ++i) {
      result.chunks[i].id = request.chunks[i].id;
      if (request.chunks[i].sample) result.chunks[i].sampled.emplace().token_id = 7;
    }
    return result;
  }
  void ReleaseSequence(SequenceId /*id*/) override {}
  KvCacheUsage kv_cache_usage() const override {
    return {.num_blocks = int64_t{1} << 30,
            .num_free_blocks = int64_t{1} << 30,
            .block_size = kBlockSize};
  }
};

void Round(benchmark::State& state) {
  const auto num_running = static_cast<int>(state.range(0));
  const auto num_waiting = static_cast<int>(state.range(1));
  CostlessAttention attention;
  SchedulerObserver observer;
  SchedulerOptions options;
  options.max_step_tokens = 8192;
  options.max_running_requests = num_running;
  options.max_waiting_requests = num_waiting;
  options.stream_capacity_tokens = int64_t{1} << 40;
  Scheduler scheduler({&attention}, nullptr, &observer, options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < num_running + num_waiting; ++i) {
    GenerationPlan plan;
    plan.prompt_token_ids = {1, 2, 3, 4};
    plan.max_tokens = 1 << 30;
    streams.push_back(*scheduler.Submit(std::move(plan), absl::InfiniteFuture()));
  }
  scheduler.RunOnce();  // all prompts
  for (auto _ : state) scheduler.RunOnce();
  state.counters["time_a_row"] = benchmark::Counter(
      num_running, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK(Round)
    ->ArgNames({"running", "waiting"})
    ->ArgsProduct({{1, 10, 100, 1000}, {0, 10, 100, 1000}})
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.1);

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
