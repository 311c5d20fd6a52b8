#include "tests/fakes/fake_expert_directory.h"

#include <utility>

namespace tramontane {

FakeExpertDirectory::FakeExpertDirectory(
    const MixtralConfig& config, const std::vector<std::shared_ptr<FakeExpertClient>>& clients)
    : num_layers_(config.num_layers), num_experts_(config.num_experts) {
  SetClients(clients);
}

std::shared_ptr<const ExpertPlacement> FakeExpertDirectory::placement() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return placement_;
}

void FakeExpertDirectory::SetClients(
    const std::vector<std::shared_ptr<FakeExpertClient>>& clients) {
  std::shared_ptr<const ExpertPlacement> placement =
      BuildPlacement(num_layers_, num_experts_, {clients.begin(), clients.end()});
  const std::lock_guard<std::mutex> lock(mutex_);
  placement_ = std::move(placement);
}

}  // namespace tramontane
