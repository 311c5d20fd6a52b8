#include "tests/benchmark/load/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tramontane {
namespace {

constexpr int kBitsOfOctave = 7;
constexpr uint64_t kBucketsOfOctave = uint64_t{1} << kBitsOfOctave;
constexpr size_t kNumBuckets = (64 - kBitsOfOctave) * kBucketsOfOctave;

// Values below 128 have a bucket each; octave e holds [128 * 2^e, 256 * 2^e) in steps of 2^e.
size_t BucketOf(uint64_t value) {
  if (value < kBucketsOfOctave) return value;
  const int octave = std::bit_width(value) - kBitsOfOctave - 1;
  return static_cast<size_t>(octave) * kBucketsOfOctave + (value >> octave);
}

int64_t MiddleOf(size_t bucket) {
  if (bucket < 2 * kBucketsOfOctave) return static_cast<int64_t>(bucket);
  const uint64_t octave = bucket / kBucketsOfOctave - 1;
  const uint64_t step = kBucketsOfOctave + bucket % kBucketsOfOctave;
  return static_cast<int64_t>((step << octave) + (uint64_t{1} << octave) / 2);
}

double Milliseconds(std::chrono::nanoseconds latency) {
  return static_cast<double>(latency.count()) / 1e6;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(kNumBuckets, 0) {}

void LatencyHistogram::Add(std::chrono::nanoseconds latency, uint64_t times) {
  if (times == 0) return;
  const int64_t ns = std::max<int64_t>(0, latency.count());
  buckets_[BucketOf(static_cast<uint64_t>(ns))] += times;
  min_ns_ = count_ == 0 ? ns : std::min(min_ns_, ns);
  max_ns_ = std::max(max_ns_, ns);
  sum_ns_ += static_cast<double>(ns) * static_cast<double>(times);
  count_ += times;
}

std::chrono::nanoseconds LatencyHistogram::Percentile(double share) const {
  if (count_ == 0) return std::chrono::nanoseconds(0);
  const auto rank = static_cast<uint64_t>(
      std::clamp(std::ceil(share * static_cast<double>(count_)), 1.0, static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank) {
      return std::chrono::nanoseconds(std::clamp(MiddleOf(bucket), min_ns_, max_ns_));
    }
  }
  return std::chrono::nanoseconds(max_ns_);
}

LatencySummary LatencyHistogram::Summarize() const {
  LatencySummary summary;
  if (count_ == 0) return summary;
  summary.count = count_;
  summary.mean_ms = sum_ns_ / static_cast<double>(count_) / 1e6;
  summary.min_ms = static_cast<double>(min_ns_) / 1e6;
  summary.p50_ms = Milliseconds(Percentile(0.50));
  summary.p90_ms = Milliseconds(Percentile(0.90));
  summary.p95_ms = Milliseconds(Percentile(0.95));
  summary.p99_ms = Milliseconds(Percentile(0.99));
  summary.max_ms = static_cast<double>(max_ns_) / 1e6;
  return summary;
}

}  // namespace tramontane
