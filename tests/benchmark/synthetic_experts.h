// A checkpoint for benchmarks of experts: any sizes of experts, next to nothing else.
#ifndef TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_EXPERTS_H_
#define TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_EXPERTS_H_

#include <memory>

#include "model/checkpoint.h"

namespace tramontane {

// One layer of random experts with top-2 routing. The files are written to the temporary directory,
// and only their mapping stays. Ends the process where that fails.
std::shared_ptr<const Checkpoint> OpenSyntheticExperts(int hidden_size, int intermediate_size,
                                                       int num_experts);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_EXPERTS_H_
