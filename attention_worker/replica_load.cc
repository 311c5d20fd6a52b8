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
constexpr double kLeastSeconds = 1e-9;
// An overhead below it says nothing of what the next may be.
constexpr double kSmallOverheadSeconds = 1e-4;
constexpr double kForgetHalfSeconds = 10;
// However little a worker says that it worked, so much of the latency counts as work.
constexpr double kLeastServiceShare = 1.0 / 8;

void Follow(double sample, double gain, double& mean, double least_limit = 0) {
  const double limit = std::max(kLargestSample * mean, least_limit);
  mean += gain * (std::min(sample, limit) - mean);
}

// What part of a mean is left when it is `age` old.
double Remembered(absl::Duration age) {
  return std::exp2(-std::max(0.0, absl::ToDoubleSeconds(age)) / kForgetHalfSeconds);
}

}  // namespace

double ReplicaLoad::Begin(double units) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_.outstanding_units += units;
  return reading_.outstanding_units;
}

void ReplicaLoad::Answered(double units, double units_ahead, absl::Duration latency,
                           absl::Duration overhead, absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(latency);
  const double service =
      std::clamp(seconds - absl::ToDoubleSeconds(overhead), kLeastServiceShare * seconds, seconds);
  const double service_sample = std::max(kLeastSeconds, service / units_ahead);
  const double overhead_sample = seconds - service;
  double sample = std::max(kLeastSeconds, seconds / units_ahead);
  const std::lock_guard<std::mutex> lock(mutex_);
  reading_.outstanding_units = std::max(0.0, reading_.outstanding_units - units);
  // What was forgotten in the meantime must not come back with the next answer.
  const double gain = std::max(kMeanGain, 1 - Remembered(now - reading_.measured));
  reading_.measured = now;
  if (!reading_.seconds_per_unit.has_value()) {
    reading_.seconds_per_unit = sample;
    reading_.deviation = sample / 2;
    reading_.service_seconds_per_unit = service_sample;
    reading_.overhead_seconds = overhead_sample;
    return;
  }
  Follow(service_sample, gain, reading_.service_seconds_per_unit);
  Follow(overhead_sample, gain, reading_.overhead_seconds, kSmallOverheadSeconds);
  double& mean = *reading_.seconds_per_unit;
  sample = std::min(sample, kLargestSample * mean);
  reading_.deviation += kDeviationGain * (std::abs(sample - mean) - reading_.deviation);
  Follow(sample, gain, mean);
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
  std::optional<ReplicaSpeed> best;  // each part of it the least that was measured
  for (const ReplicaLoad::Reading& reading : readings) {
    if (!reading.seconds_per_unit.has_value()) continue;
    if (!best.has_value()) best = {reading.overhead_seconds, reading.service_seconds_per_unit};
    best->ready_seconds = std::min(best->ready_seconds, reading.overhead_seconds);
    best->seconds_per_unit = std::min(best->seconds_per_unit, reading.service_seconds_per_unit);
  }
  std::vector<ReplicaSpeed> speeds(readings.size(), best.value_or(ReplicaSpeed()));
  for (size_t i = 0; i < readings.size(); ++i) {
    const ReplicaLoad::Reading& reading = readings[i];
    ReplicaSpeed& speed = speeds[i];
    if (reading.seconds_per_unit.has_value()) {
      const double remembered = Remembered(now - reading.measured);
      speed.ready_seconds += remembered * (reading.overhead_seconds - best->ready_seconds);
      speed.seconds_per_unit +=
          remembered * (reading.service_seconds_per_unit - best->seconds_per_unit);
    }
    speed.ready_seconds += reading.outstanding_units * speed.seconds_per_unit;
  }
  return speeds;
}

}  // namespace tramontane
