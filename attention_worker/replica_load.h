// What is known of one expert worker's load and speed, to choose where rows finish soonest.
#ifndef TRAMONTANE_ATTENTION_WORKER_REPLICA_LOAD_H_
#define TRAMONTANE_ATTENTION_WORKER_REPLICA_LOAD_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace tramontane {

// Work is counted in units, each the arithmetic of one (row, expert) pair. A batch also reads the
// weights of every expert that it touches, once. With weights of two bytes a pair takes one
// floating-point operation a byte of the expert, so the reading weighs as many pairs as the worker
// does operations in the time of one byte: 10 to 50 on CPUs, some 200 on GPUs. A low figure errs on
// the side of patience: speed measured with few rows then never promises too much for many.
inline constexpr double kUnitsPerExpert = 16;

inline double WorkUnits(int64_t num_pairs, int64_t num_experts) {
  return static_cast<double>(num_pairs) + kUnitsPerExpert * static_cast<double>(num_experts);
}

// Thread-safe. It outlives its client with the batches that are on their way.
class ReplicaLoad {
 public:
  struct Reading {
    double outstanding_units = 0;
    // Latency by units, queueing and the way included; absent before the first answer.
    std::optional<double> seconds_per_unit;
    double deviation = 0;  // of seconds_per_unit, smoothed
    // The same latency in its two parts: what a batch takes however small it is, and what each unit
    // adds. Without this, who gets small batches would look slow, and get still smaller ones.
    double overhead_seconds = 0;
    double service_seconds_per_unit = 0;
    absl::Time measured = absl::InfinitePast();
  };

  // A batch leaves; returns the units that stand before its answer, its own included.
  double Begin(double units);
  // It was answered with rows, `latency` after it left; of that, `overhead` was neither queue nor
  // compute of the worker, as far as it says. `units` and `units_ahead` as in Begin.
  void Answered(double units, double units_ahead, absl::Duration latency, absl::Duration overhead,
                absl::Time now);
  // It was not.
  void Failed(double units);

  Reading Read() const;

 private:
  mutable std::mutex mutex_;
  Reading reading_ ABSL_GUARDED_BY(mutex_);
};

// How soon a worker can have something done.
struct ReplicaSpeed {
  double ready_seconds = 0;       // until what it has is done, and for the way
  double seconds_per_unit = 1.0;  // then
};

// [readings.size()]. A worker that was not measured counts as the fastest, so that it gets its part
// at once. What slowed one down is forgotten by and by while nothing is sent to it, so that it is
// tried again.
std::vector<ReplicaSpeed> EstimateSpeeds(std::span<const ReplicaLoad::Reading> readings,
                                         absl::Time now);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_REPLICA_LOAD_H_
