// The packed weights of the experts that a worker hosts.
#ifndef TRAMONTANE_EXPERT_WORKER_HOSTED_EXPERTS_H_
#define TRAMONTANE_EXPERT_WORKER_HOSTED_EXPERTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "expert_worker/expert_set.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"

namespace tramontane {

// Immutable after Load.
class HostedExperts {
 public:
  // Reads and packs the set's tensors and no others, with progress in the log, and gives the mapped
  // pages back. Ends with one log line: bytes mapped, bytes packed, seconds. `backend` outlives it.
  // On a device, runs a row through one expert, so that they take their memory now.
  static absl::StatusOr<std::unique_ptr<HostedExperts>> Load(
      std::shared_ptr<const Checkpoint> checkpoint, const ExpertSet& set, Backend* backend);

  const ExpertSet& set() const { return set_; }
  const MixtralConfig& config() const { return checkpoint_->config(); }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  Backend* backend() const { return backend_; }
  // [num_layers][num_experts]; null where it is not hosted.
  std::vector<std::vector<const PackedExpert*>> All() const;
  // Null where (layer, expert) is not hosted.
  const PackedExpert* Find(int layer, int expert) const;

 private:
  HostedExperts(std::shared_ptr<const Checkpoint> checkpoint, ExpertSet set, Backend* backend);
  absl::Status WarmUp(const PackedExpert& expert) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  ExpertSet set_;
  Backend* backend_;
  std::vector<std::unique_ptr<PackedExpert>> experts_;  // [num_layers * num_experts]
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_HOSTED_EXPERTS_H_
