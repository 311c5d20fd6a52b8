// One row of logits to a token on the host: 32,000 logits as a model has them, normal with a
// standard deviation of 3. Arguments: top-k (0: off), 100 times top-p.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "attention_worker/sampler.h"

namespace tramontane {
namespace {

constexpr int kVocabSize = 32'000;

void BM_Sample(benchmark::State& state) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(kVocabSize);
  for (float& logit : logits) logit = normal(random);
  SamplingParams params;
  params.temperature = 0.8f;
  params.top_k = static_cast<int>(state.range(0));
  params.top_p = static_cast<float>(state.range(1)) / 100;
  Sampler sampler(kVocabSize);
  int64_t position = 0;
  for (auto _ : state) benchmark::DoNotOptimize(sampler.Sample(logits, params, {}, ++position));
}
BENCHMARK(BM_Sample)
    ->ArgNames({"top_k", "top_p_percent"})
    ->Args({0, 100})
    ->Args({40, 100})
    ->Args({0, 90})
    ->Args({40, 90})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
