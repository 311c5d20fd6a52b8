#include "attention_worker/replica_load.h"

#include <algorithm>
#include <cmath>

namespace tramontane {
namespace {

// Smoothing as of TCP's round-trip time (RFC 6298).
constexpr double kMeanGain = 1.0 / 8;
constexpr double kDeviationGain = 1.0 / 4;
// One answer counts for at most so many times the mean: that of a worker that stood still for a
// minute must not mark it as slow for an hour. Where it is slow, the next ones say so too.
constexpr double kLargestSample = 4;
constexpr double kForgetHalfSeconds = 10;

}  // namespace

double ReplicaLoad::Begin(double units) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_.outstanding_units += units;
  return reading_.outstanding_units;
}

void ReplicaLoad::Answered(double units, double units_ahead, absl::Duration latency,
                           absl::Time now) {
  double sample = std::max(1e-9, absl::ToDoubleSeconds(latency) / units_ahead);
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_.outstanding_units = std::max(0.0, reading_.outstanding_units - units);
  reading_.measured = now;
  if (!reading_.seconds_per_unit.has_value()) {
    reading_.seconds_per_unit = sample;
    reading_.deviation = sample / 2;
    return;
  }
  double& mean = *reading_.seconds_per_unit;
  sample = std::min(sample, kLargestSample * mean);
  reading_.deviation += kDeviationGain * (std::abs(sample - mean) - reading_.deviation);
  mean += kMeanGain * (sample - mean);
}

void ReplicaLoad::Failed(double units) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_.outstanding_units = std::max(0.0, reading_.outstanding_units - units);
}

ReplicaLoad::Reading ReplicaLoad::Read() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return reading_;
}

std::vector<ReplicaSpeed> EstimateSpeeds(std::span<const ReplicaLoad::Reading> readings,
                                         absl::Time now) {
  double sum = 0;
  double num_measured = 0;
  for (const ReplicaLoad::Reading& reading : readings) {
    if (!reading.seconds_per_unit.has_value()) continue;
    sum += *reading.seconds_per_unit;
    ++num_measured;
  }
  std::vector<ReplicaSpeed> speeds(readings.size());
  for (size_t i = 0; i < readings.size(); ++i) {
    const ReplicaLoad::Reading& reading = readings[i];
    double& seconds_per_unit = speeds[i].seconds_per_unit;
    if (reading.seconds_per_unit.has_value()) {
      seconds_per_unit = *reading.seconds_per_unit;
      const double others =
          num_measured > 1 ? (sum - seconds_per_unit) / (num_measured - 1) : seconds_per_unit;
      if (seconds_per_unit > others) {
        const double age = std::max(0.0, absl::ToDoubleSeconds(now - reading.measured));
        seconds_per_unit =
            others + (seconds_per_unit - others) * std::exp2(-age / kForgetHalfSeconds);
      }
    } else if (num_measured > 0) {
      seconds_per_unit = sum / num_measured;
    }
    speeds[i].ready_seconds = reading.outstanding_units * seconds_per_unit;
  }
  return speeds;
}

}  // namespace tramontane
