// Which replica computes how many of each expert's rows: where all are done soonest.
#ifndef TRAMONTANE_ATTENTION_WORKER_REPLICA_CHOICE_H_
#define TRAMONTANE_ATTENTION_WORKER_REPLICA_CHOICE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "attention_worker/replica_load.h"

namespace tramontane {

// An expert's rows of one layer, and the workers that host it.
struct ExpertDemand {
  int64_t num_pairs = 0;
  std::vector<int> replicas;  // indices of workers, each once; not empty
};

struct ExpertShare {
  int worker = 0;
  int64_t num_pairs = 0;
};

// [demands.size()] the shares of each expert, which sum up to its pairs. Experts go whole to the
// worker that finishes them soonest, the largest first; then rows move from the worker that
// finishes last to others for as long as that ends the layer sooner. No share is smaller than
// kUnitsPerExpert unless it is the whole expert, since each reads the weights again. A greedy
// choice, in microseconds: see tests/benchmark/replica_choice_benchmark.cc.
std::vector<std::vector<ExpertShare>> ChooseReplicas(std::span<const ExpertDemand> demands,
                                                     std::span<const ReplicaSpeed> workers);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_REPLICA_CHOICE_H_
