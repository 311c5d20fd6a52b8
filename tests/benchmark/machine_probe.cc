#include "tests/benchmark/machine_probe.h"

#include <immintrin.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels/buffer.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr size_t kReadBytes = size_t{2} << 30;
constexpr int kPasses = 5;

// Runs body(thread) on all threads at once, kPasses times; the seconds of the fastest pass.
template <typename Body>
double BestSeconds(int num_threads, Body body) {
  double best = 1e30;
  std::barrier gate(num_threads);
  std::vector<std::thread> threads;
  for (int t = 0; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      for (int pass = 0; pass < kPasses; ++pass) {
        gate.arrive_and_wait();
        const auto start = std::chrono::steady_clock::now();
        body(t);
        gate.arrive_and_wait();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        if (t == 0) best = std::min(best, took.count());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return best;
}

__attribute__((target("avx512f"))) uint64_t SumAvx512(const std::byte* bytes, size_t size) {
  __m512i sums[4] = {};
  for (size_t i = 0; i + 256 <= size; i += 256) {
    for (int lane = 0; lane < 4; ++lane) {
      sums[lane] = _mm512_add_epi64(sums[lane], _mm512_loadu_si512(bytes + i + lane * 64));
    }
  }
  alignas(64) uint64_t lanes[4][8];
  for (int i = 0; i < 4; ++i) _mm512_store_si512(lanes[i], sums[i]);
  uint64_t sum = 0;
  for (const auto& vector : lanes) {
    for (uint64_t lane : vector) sum += lane;
  }
  return sum;
}

uint64_t SumPortable(const std::byte* bytes, size_t size) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 64 <= size; i += 64) {
    uint64_t words[8];
    std::memcpy(words, bytes + i, sizeof(words));
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[lane];
  }
  uint64_t sum = 0;
  for (uint64_t lane : sums) sum += lane;
  return sum;
}

constexpr int64_t kMultiplyRounds = 4'000'000;
constexpr int kAccumulators = 16;

__attribute__((target("avx512f,avx512bf16"))) float MultiplyBf16(float seed) {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed), _mm512_set1_ps(seed));
  __m512 sums[kAccumulators];  // not equal, or one chain would do for all
  for (int i = 0; i < kAccumulators; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t i = 0; i < kMultiplyRounds; ++i) {
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, a, a);
  }
  float total = 0;
  for (const __m512& sum : sums) {
    alignas(64) float lanes[16];
    _mm512_store_ps(lanes, sum);
    total += lanes[0];
  }
  return total;
}

__attribute__((target("avx2,fma"))) float MultiplyF32(float seed) {
  const __m256 a = _mm256_set1_ps(seed);
  __m256 sums[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t i = 0; i < kMultiplyRounds; ++i) {
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(a, a, sum);
  }
  float total = 0;
  for (const __m256& sum : sums) total += sum[0];
  return total;
}

}  // namespace

double MeasureReadBandwidth(int num_threads) {
  absl::StatusOr<Buffer> buffer = Buffer::Allocate(kReadBytes);
  TRAMONTANE_CHECK(buffer.ok());
  std::memset(buffer->bytes(), 1, kReadBytes);
  const size_t share = kReadBytes / num_threads / 256 * 256;
  const bool wide = __builtin_cpu_supports("avx512f");
  volatile uint64_t sink = 0;
  const double seconds = BestSeconds(num_threads, [&](int t) {
    const std::byte* bytes = buffer->bytes() + share * t;
    sink = wide ? SumAvx512(bytes, share) : SumPortable(bytes, share);
  });
  return static_cast<double>(share) * num_threads / seconds;
}

double MeasureBf16Peak(int num_threads) {
  const bool bf16 = __builtin_cpu_supports("avx512bf16");
  volatile float sink = 0;
  const double seconds = BestSeconds(
      num_threads, [&](int) { sink = bf16 ? MultiplyBf16(1e-3f) : MultiplyF32(1e-3f); });
  const double operations_a_round = kAccumulators * (bf16 ? 16 * 2 * 2 : 8 * 2);
  return operations_a_round * kMultiplyRounds * num_threads / seconds;
}

}  // namespace tramontane
