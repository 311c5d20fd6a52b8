// Kernels against what the machine can do at most: bytes a second of weights against the measured
// read bandwidth where few rows are computed, operations a second against the measured peak where
// many are. Run alone on an idle machine; docs/benchmarks.md has the command and figures.
//
// Counters: GB/s and GFLOP/s; "of_read" and "of_peak", their shares of the ceilings, which are
// measured first with the same number of threads.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/processor_count.h"
#include "model/check.h"
#include "tests/benchmark/machine_probe.h"

namespace tramontane {
namespace {

constexpr int64_t kHidden = 2048;
constexpr int64_t kIntermediate = 7168;
constexpr int64_t kVocab = 32000;
constexpr int64_t kHeads = 16;
constexpr int64_t kKvHeads = 4;
constexpr int64_t kHeadDim = 128;

double ReadBandwidth() {
  static const double bandwidth = MeasureReadBandwidth(ProcessorCount());
  return bandwidth;
}

double Bf16Peak() {
  static const double peak = MeasureBf16Peak(ProcessorCount());
  return peak;
}

Backend* Cpu() {
  static const std::unique_ptr<Backend> backend = [] {
    auto created = CreateCpuBackend({});
    TRAMONTANE_CHECK(created.ok());
    return *std::move(created);
  }();
  return backend.get();
}

// bf16 values in [0.5, 1) of either sign: no zeros, no subnormals.
Buffer RandomBf16(int64_t count) {
  auto buffer = Buffer::Allocate(static_cast<size_t>(count) * 2);
  TRAMONTANE_CHECK(buffer.ok());
  std::mt19937_64 random(1);
  auto* values = buffer->as<uint16_t>();
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = static_cast<uint16_t>(random());
    values[i] = static_cast<uint16_t>((bits & 0x807f) | 0x3f00);
  }
  return *std::move(buffer);
}

TensorView Matrix(const Buffer& buffer, int64_t rows, int64_t columns) {
  return {"benchmark", DType::kBF16, {rows, columns}, buffer.bytes()};
}

using Clock = std::chrono::steady_clock;

// What each iteration since `start` read and computed.
void Count(benchmark::State& state, Clock::time_point start, double bytes, double operations) {
  const std::chrono::duration<double> elapsed = Clock::now() - start;
  const double per_second = static_cast<double>(state.iterations()) / elapsed.count();
  state.counters["GB/s"] = bytes * per_second / 1e9;
  state.counters["GFLOP/s"] = operations * per_second / 1e9;
  state.counters["of_read"] = bytes * per_second / ReadBandwidth();
  state.counters["of_peak"] = operations * per_second / Bf16Peak();
}

void ReadBandwidthOfThreads(benchmark::State& state) {
  double best = 0;
  for (auto _ : state) best = MeasureReadBandwidth(static_cast<int>(state.range(0)));
  state.counters["GB/s"] = best / 1e9;
}
BENCHMARK(ReadBandwidthOfThreads)->ArgName("threads")->Arg(1)->Arg(2)->Iterations(1);

void Bf16PeakOfThreads(benchmark::State& state) {
  double best = 0;
  for (auto _ : state) best = MeasureBf16Peak(static_cast<int>(state.range(0)));
  state.counters["GFLOP/s"] = best / 1e9;
}
BENCHMARK(Bf16PeakOfThreads)->ArgName("threads")->Arg(1)->Arg(2)->Iterations(1);

// Copies of the weights are used in turn, 512 MiB together, so that none is still in a cache.
void MatMulRows(benchmark::State& state) {
  const int64_t num_rows = state.range(0);
  const int64_t out = state.range(1);
  const int64_t in = state.range(2);
  const Buffer weights = RandomBf16(out * in);
  const TensorView view = Matrix(weights, out, in);
  std::vector<std::unique_ptr<PackedMatrix>> copies;
  const int64_t num_copies = std::clamp<int64_t>((int64_t{512} << 20) / (out * in * 2), 2, 128);
  for (int64_t i = 0; i < num_copies; ++i) {
    auto packed = Cpu()->Pack({&view, 1});
    TRAMONTANE_CHECK(packed.ok());
    copies.push_back(*std::move(packed));
  }
  const Buffer input = RandomBf16(num_rows * in);
  std::vector<float> output(static_cast<size_t>(num_rows * out));
  size_t next = 0;
  const Clock::time_point start = Clock::now();
  for (auto _ : state) {
    Cpu()->MatMul({input.bytes(), copies[next++ % copies.size()].get(), output.data(), num_rows});
  }
  Count(state, start, static_cast<double>(out * in) * 2,
        2.0 * static_cast<double>(num_rows * out * in));
}
BENCHMARK(MatMulRows)
    ->ArgNames({"rows", "out", "in"})
    ->Args({1, (kHeads + 2 * kKvHeads) * kHeadDim, kHidden})
    ->Args({1, kHidden, kHidden})
    ->Args({1, 8, kHidden})
    ->Args({1, kVocab, kHidden})
    ->Args({1, 14336, 4096})
    ->Args({8, kVocab, kHidden})
    ->Args({128, 2 * kIntermediate, kHidden})
    ->Args({512, 2 * kIntermediate, kHidden})
    ->Args({512, kHidden, kIntermediate})
    ->Args({512, (kHeads + 2 * kKvHeads) * kHeadDim, kHidden})
    ->Args({512, 8, kHidden})
    ->UseRealTime();

// range(0) rows for each of range(1) experts in one call.
void ExpertFfnRows(benchmark::State& state) {
  const int64_t num_rows = state.range(0);
  const auto num_groups = static_cast<size_t>(state.range(1));
  const Buffer weights = RandomBf16(kIntermediate * kHidden);
  const TensorView w1 = Matrix(weights, kIntermediate, kHidden);
  const TensorView w2 = Matrix(weights, kHidden, kIntermediate);
  std::vector<std::unique_ptr<PackedExpert>> experts;
  for (int i = 0; i < 8; ++i) {
    auto packed = Cpu()->PackExpert(w1, w1, w2);
    TRAMONTANE_CHECK(packed.ok());
    experts.push_back(*std::move(packed));
  }
  const Buffer input = RandomBf16(num_rows * kHidden);
  std::vector<const std::byte*> rows;
  for (int64_t r = 0; r < num_rows; ++r) rows.push_back(input.bytes() + r * kHidden * 2);
  const Buffer output = RandomBf16(num_rows * kHidden * static_cast<int64_t>(num_groups));
  std::vector<ExpertRows> groups(num_groups);
  size_t next = 0;
  const Clock::time_point start = Clock::now();
  for (auto _ : state) {
    for (size_t g = 0; g < num_groups; ++g) {
      groups[g] = {experts[next++ % experts.size()].get(), rows,
                   output.bytes() + static_cast<int64_t>(g) * num_rows * kHidden * 2};
    }
    Cpu()->ExpertFfn({groups});
  }
  const double weights_read = 3.0 * kIntermediate * kHidden * static_cast<double>(num_groups);
  Count(state, start, weights_read * 2, weights_read * 2 * static_cast<double>(num_rows));
}
BENCHMARK(ExpertFfnRows)
    ->ArgNames({"rows", "experts"})
    ->ArgsProduct({{1, 2, 4, 6, 8, 16, 32, 64, 128, 256, 512}, {1}})
    ->Args({1, 2})
    ->Args({2, 8})
    ->Args({128, 8})
    ->UseRealTime();

// Keys or values of this many positions: two such are more than caches hold.
constexpr int64_t kCachedPositions = 131072;

// One sequence: range(0) new rows after range(1) cached positions. Sequences are used in turn, so
// that no keys or values are still in a cache.
void Attention(benchmark::State& state) {
  const int64_t num_rows = state.range(0);
  const int64_t context = state.range(1);
  const int64_t length = context + num_rows;
  constexpr int64_t kBlockSize = 16;
  const int64_t num_blocks = (length + kBlockSize - 1) / kBlockSize;
  static const Buffer keys = RandomBf16(kCachedPositions * kKvHeads * kHeadDim);
  static const Buffer values = RandomBf16(kCachedPositions * kKvHeads * kHeadDim);
  const int64_t num_sequences = kCachedPositions / (num_blocks * kBlockSize);
  std::vector<int32_t> blocks;
  for (int64_t b = 0; b < num_sequences * num_blocks; ++b) {
    blocks.push_back(static_cast<int32_t>(b));
  }
  const std::vector<float> qkv(static_cast<size_t>(num_rows * (kHeads + 2 * kKvHeads) * kHeadDim),
                               0.25f);
  std::vector<float> output(static_cast<size_t>(num_rows * kHeads * kHeadDim));
  SequenceRows sequence{0, num_rows, context, {}};
  PagedAttentionArgs args;
  args.qkv = qkv.data();
  args.num_heads = kHeads;
  args.cache = {keys.bytes(), values.bytes(), DType::kBF16, kKvHeads, kHeadDim, kBlockSize};
  args.sequences = {&sequence, 1};
  args.num_tokens = num_rows;
  args.output = output.data();
  int64_t next = 0;
  const Clock::time_point start = Clock::now();
  for (auto _ : state) {
    sequence.page_table = {blocks.data() + next++ % num_sequences * num_blocks,
                           static_cast<size_t>(num_blocks)};
    Cpu()->PagedAttention(args);
  }
  const double pairs = static_cast<double>(num_rows) *
                       (static_cast<double>(context) + static_cast<double>(num_rows + 1) / 2);
  Count(state, start, static_cast<double>(2 * length * kKvHeads * kHeadDim) * 2,
        4.0 * pairs * kHeads * kHeadDim);
}
BENCHMARK(Attention)
    ->ArgNames({"rows", "context"})
    ->Args({1, 512})
    ->Args({1, 4096})
    ->Args({1, 32000})
    ->Args({512, 0})
    ->Args({512, 4096})
    ->Args({4096, 0})
    ->UseRealTime();

// Packing of an expert from bf16 in memory: bytes read; as many are written.
void PackExpert(benchmark::State& state) {
  const Buffer weights = RandomBf16(kIntermediate * kHidden);
  const TensorView w1 = Matrix(weights, kIntermediate, kHidden);
  const TensorView w2 = Matrix(weights, kHidden, kIntermediate);
  const Clock::time_point start = Clock::now();
  for (auto _ : state) {
    auto packed = Cpu()->PackExpert(w1, w1, w2);
    benchmark::DoNotOptimize(packed);
  }
  Count(state, start, 3.0 * kIntermediate * kHidden * 2, 0);
}
BENCHMARK(PackExpert)->UseRealTime();

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
