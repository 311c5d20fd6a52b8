#include "attention_worker/expert_directory.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tramontane {
namespace {

// "4", "4-7", "0, 4-7": sorted ids as ranges.
std::string Ranges(const std::vector<int>& ids) {
  std::vector<std::string> ranges;
  for (size_t begin = 0; begin < ids.size();) {
    size_t end = begin + 1;
    while (end < ids.size() && ids[end] == ids[end - 1] + 1) ++end;
    ranges.push_back(end - begin == 1 ? absl::StrCat(ids[begin])
                                      : absl::StrCat(ids[begin], "-", ids[end - 1]));
    begin = end;
  }
  return absl::StrJoin(ranges, ", ");
}

}  // namespace

size_t ExpertPlacement::MinReplicas() const {
  const auto least =
      std::min_element(replicas.begin(), replicas.end(),
                       [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return least == replicas.end() ? 0 : least->size();
}

std::string ExpertPlacement::ExpertsWithReplicas(size_t count) const {
  std::vector<std::string> layers;
  for (int layer = 0; layer < num_layers; ++layer) {
    std::vector<int> members;
    for (int expert = 0; expert < num_experts; ++expert) {
      if (Replicas(layer, expert).size() == count) members.push_back(expert);
    }
    if (members.empty()) continue;
    layers.push_back(absl::StrCat("layer ", layer, members.size() == 1 ? ": expert " : ": experts ",
                                  Ranges(members)));
  }
  return absl::StrJoin(layers, "; ");
}

std::shared_ptr<const ExpertPlacement> WithoutClient(const ExpertPlacement& placement,
                                                     const ExpertClient* client) {
  auto without = std::make_shared<ExpertPlacement>(placement);
  for (auto& replicas : without->replicas) {
    replicas.erase(std::remove_if(replicas.begin(), replicas.end(),
                                  [client](const auto& one) { return one.get() == client; }),
                   replicas.end());
  }
  return without;
}

std::shared_ptr<const ExpertPlacement> BuildPlacement(
    int num_layers, int num_experts, const std::vector<std::shared_ptr<ExpertClient>>& clients) {
  auto placement = std::make_shared<ExpertPlacement>();
  placement->num_layers = num_layers;
  placement->num_experts = num_experts;
  placement->replicas.resize(static_cast<size_t>(num_layers) * num_experts);
  for (const std::shared_ptr<ExpertClient>& client : clients) {
    if (client->description().draining) continue;
    for (const ExpertWorkerDescription::Hosted& hosted : client->description().experts) {
      if (hosted.layer < 0 || hosted.layer >= num_layers) continue;
      if (hosted.expert < 0 || hosted.expert >= num_experts) continue;
      auto& replicas =
          placement->replicas[static_cast<size_t>(hosted.layer) * num_experts + hosted.expert];
      // A worker that states an expert twice is still one replica.
      if (std::find(replicas.begin(), replicas.end(), client) == replicas.end()) {
        replicas.push_back(client);
      }
    }
  }
  return placement;
}

}  // namespace tramontane
