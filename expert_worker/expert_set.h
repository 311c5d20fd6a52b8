// Which experts of which layers a worker hosts: the value of --experts.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_SET_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_SET_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tramontane {

// A set of (layer, expert) of a model of num_layers x num_experts. A value.
class ExpertSet {
 public:
  // Grammar: SPEC = PART {"," PART}; PART = EXPERTS | LAYERS ":" EXPERTS; LAYERS, EXPERTS = N | N
  // "-" N. Without LAYERS a part holds for every layer; "all" is everything. "0-3", "0,5",
  // "0-15:0-3,16-31:4-7". INVALID_ARGUMENT naming the part and the limit for bad syntax, an id out
  // of range, or an expert named twice.
  static absl::StatusOr<ExpertSet> Parse(std::string_view spec, int num_layers, int num_experts);

  bool Contains(int layer, int expert) const;
  int size() const;
  int num_layers() const { return num_layers_; }
  int num_experts() const { return num_experts_; }
  // Sorted by layer, then expert.
  std::vector<std::pair<int, int>> Members() const;

 private:
  ExpertSet(int num_layers, int num_experts);

  int num_layers_;
  int num_experts_;
  std::vector<bool> hosted_;  // [num_layers * num_experts]
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_SET_H_
