// Who hosts which expert right now.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_DIRECTORY_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_DIRECTORY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"

namespace tramontane {

// An immutable picture of the placement: experts to the clients that host them.
struct ExpertPlacement {
  int num_layers = 0;
  int num_experts = 0;
  // [num_layers * num_experts] replicas of each; empty where nobody hosts it.
  std::vector<std::vector<std::shared_ptr<ExpertClient>>> replicas;

  const std::vector<std::shared_ptr<ExpertClient>>& Replicas(int layer, int expert) const {
    return replicas[static_cast<size_t>(layer) * num_experts + expert];
  }
  // "layer 0: experts 4-7; layer 1: …", "" where every expert has a worker.
  std::string MissingExperts() const { return ExpertsWithReplicas(0); }
  // Likewise those that have so many replicas.
  std::string ExpertsWithReplicas(size_t count) const;
  // Of the (layer, expert) that has the fewest.
  size_t MinReplicas() const;
};

// Thread-safe. Worker discovery implements it over DNS, a watched file and gRPC.
class ExpertDirectory {
 public:
  virtual ~ExpertDirectory() = default;
  virtual std::shared_ptr<const ExpertPlacement> placement() const = 0;
  // Waits until the placement is another one than `seen`, or until `deadline` (finite); returns the
  // newest.
  virtual std::shared_ptr<const ExpertPlacement> AwaitChange(
      const std::shared_ptr<const ExpertPlacement>& seen, absl::Time deadline) const = 0;
  // `client` broke, fell silent, or answered what it may not. The placement that is there when this
  // returns is without it; its worker comes back by itself, with another client, once it gives a
  // known answer again. A client that is not in the placement any more is ignored.
  virtual void SetAside(const std::shared_ptr<ExpertClient>& client,
                        const absl::Status& reason) = 0;
};

// `placement` without `client`.
std::shared_ptr<const ExpertPlacement> WithoutClient(const ExpertPlacement& placement,
                                                     const ExpertClient* client);

// A placement from clients that are already described. Ignores clients that are draining.
std::shared_ptr<const ExpertPlacement> BuildPlacement(
    int num_layers, int num_experts, const std::vector<std::shared_ptr<ExpertClient>>& clients);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_DIRECTORY_H_
