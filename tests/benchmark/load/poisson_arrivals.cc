#include "tests/benchmark/load/poisson_arrivals.h"

namespace tramontane {

PoissonArrivals::PoissonArrivals(double rate, uint64_t seed) : random_(seed), gap_s_(rate) {}

std::chrono::nanoseconds PoissonArrivals::Next() {
  elapsed_s_ += gap_s_(random_);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(elapsed_s_));
}

}  // namespace tramontane
