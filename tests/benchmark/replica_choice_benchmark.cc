// What planning a layer costs: every worker hosts all of 8 experts, top-2, so that the choice is
// the widest there can be. Rows fall on the experts unevenly.
#include <benchmark/benchmark.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "attention_worker/dispatch_plan.h"

namespace tramontane {
namespace {

constexpr int kNumExperts = 8;
constexpr int kTopK = 2;

class StatedClient final : public ExpertClient {
 public:
  explicit StatedClient(std::string address) : address_(std::move(address)) {
    for (int expert = 0; expert < kNumExperts; ++expert)
      description_.experts.push_back({0, expert});
    description_.max_batch_rows = 65'536;
  }
  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  void Execute(ExpertBatch /*batch*/, Done /*done*/) override {}

 private:
  const std::string address_;
  ExpertWorkerDescription description_;
};

void Plan(benchmark::State& state) {
  const int num_workers = static_cast<int>(state.range(0));
  const int num_rows = static_cast<int>(state.range(1));
  const absl::Time now = absl::Now();
  std::vector<std::shared_ptr<ExpertClient>> workers;
  for (int i = 0; i < num_workers; ++i) {
    workers.push_back(std::make_shared<StatedClient>(std::to_string(i)));
    ReplicaLoad& load = *workers.back()->load();
    load.Answered(100, load.Begin(100), absl::Milliseconds(10 + i % 7), absl::Microseconds(100),
                  now);
  }
  const auto placement = BuildPlacement(1, kNumExperts, workers);
  std::vector<int32_t> topk;
  for (int row = 0; row < num_rows; ++row) {
    const int first = row % 3 == 0 ? 0 : row % kNumExperts;
    topk.push_back(first);
    topk.push_back((first + 1 + row % 5) % kNumExperts);
  }
  const RoutedTokens routed = {
      .layer = 0, .num_tokens = num_rows, .top_k = kTopK, .topk_expert_ids = topk};
  std::vector<int32_t> slots(topk.size());
  std::iota(slots.begin(), slots.end(), 0);
  size_t num_batches = 0;
  for (auto _ : state) {
    const DispatchPlan plan = PlanDispatch(routed, slots, *placement, {}, now);
    num_batches = plan.batches.size();
    benchmark::DoNotOptimize(num_batches);
  }
  state.counters["batches"] = static_cast<double>(num_batches);
}

BENCHMARK(Plan)
    ->ArgNames({"workers", "rows"})
    ->ArgsProduct({{1, 8, 64}, {1, 32, 512}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
