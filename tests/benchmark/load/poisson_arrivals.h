// When the requests of an open loop arrive.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_POISSON_ARRIVALS_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_POISSON_ARRIVALS_H_

#include <chrono>
#include <cstdint>
#include <random>

namespace tramontane {

// A Poisson process: independent exponential gaps of mean 1 / rate. The same rate and seed give the
// same arrivals. Thread-compatible.
class PoissonArrivals {
 public:
  // `rate` is in arrivals a second, above 0.
  PoissonArrivals(double rate, uint64_t seed);

  // Time of the next arrival since the start; never earlier than the one before.
  std::chrono::nanoseconds Next();

 private:
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_s_;
  double elapsed_s_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_POISSON_ARRIVALS_H_
