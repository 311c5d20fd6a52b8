// How evenly the tokens of late fell on the experts of one layer.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_LOAD_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_LOAD_H_

#include <cstdint>
#include <span>
#include <vector>

namespace tramontane {

// Counts of routed (token, choice) pairs that fade: all are halved whenever their sum exceeds
// kWindow, so that old traffic weighs ever less. Thread-compatible.
class ExpertLoad {
 public:
  static constexpr double kWindow = 65'536;

  explicit ExpertLoad(int num_experts);

  void Add(std::span<const int64_t> tokens_per_expert);  // [num_experts]
  // The busiest expert's count over the mean: 1 is even, num_experts is all on one; 0 before any.
  double Imbalance() const;

 private:
  std::vector<double> tokens_;  // [num_experts]
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_LOAD_H_
