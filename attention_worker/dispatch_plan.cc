#include "attention_worker/dispatch_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/check.h"

namespace tramontane {
namespace {

// One (row, expert) pair of a batch that is being filled.
struct Pair {
  int32_t expert = 0;
  int32_t row = 0;   // in the batch
  int32_t slot = 0;  // in the answer
};

absl::Status MissingExperts(const RoutedTokens& routed, const ExpertPlacement& placement,
                            std::span<const int64_t> tokens_per_expert) {
  std::vector<int> missing;
  for (int expert = 0; expert < placement.num_experts; ++expert) {
    if (tokens_per_expert[expert] > 0 && placement.Replicas(routed.layer, expert).empty()) {
      missing.push_back(expert);
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "no expert worker hosts layer ", routed.layer, missing.size() == 1 ? " expert " : " experts ",
      absl::StrJoin(missing, ", "), "; start a worker with them, or wait for one to come back"));
}

// [num_experts] the chosen replica, null for experts without tokens.
std::vector<std::shared_ptr<ExpertClient>> ChooseReplicas(
    int layer, const ExpertPlacement& placement, std::span<const int64_t> tokens_per_expert) {
  std::vector<int> by_load(tokens_per_expert.size());
  std::iota(by_load.begin(), by_load.end(), 0);
  std::stable_sort(by_load.begin(), by_load.end(),
                   [&](int a, int b) { return tokens_per_expert[a] > tokens_per_expert[b]; });
  std::vector<std::shared_ptr<ExpertClient>> chosen(tokens_per_expert.size());
  std::map<const ExpertClient*, int64_t> pairs_of_client;
  for (const int expert : by_load) {
    if (tokens_per_expert[expert] == 0) break;
    const auto& replicas = placement.Replicas(layer, expert);
    chosen[expert] =
        *std::min_element(replicas.begin(), replicas.end(), [&](const auto& a, const auto& b) {
          return pairs_of_client[a.get()] < pairs_of_client[b.get()];
        });
    pairs_of_client[chosen[expert].get()] += tokens_per_expert[expert];
  }
  return chosen;
}

// Fills batches for one worker, token after token.
class BatchFiller {
 public:
  BatchFiller(std::shared_ptr<ExpertClient> client, std::vector<PlannedBatch>* batches)
      : client_(std::move(client)), batches_(batches) {
    const int limit = client_->description().max_batch_rows;
    max_pairs_ = limit > 0 ? static_cast<size_t>(limit) : std::numeric_limits<size_t>::max();
  }

  // `pairs`: (expert, slot) of one token that this worker computes; not empty.
  void Add(int32_t token, std::span<const std::pair<int32_t, int32_t>> pairs) {
    if (pairs_.size() + pairs.size() > max_pairs_) Finish();
    bool row_added = false;
    for (const auto& [expert, slot] : pairs) {
      if (pairs_.size() == max_pairs_) {
        Finish();
        row_added = false;
      }
      if (!row_added) tokens_.push_back(token);
      row_added = true;
      pairs_.push_back({expert, static_cast<int32_t>(tokens_.size()) - 1, slot});
    }
  }

  void Finish() {
    if (pairs_.empty()) return;
    std::stable_sort(pairs_.begin(), pairs_.end(),
                     [](const Pair& a, const Pair& b) { return a.expert < b.expert; });
    PlannedBatch batch;
    batch.client = client_;
    batch.tokens = std::move(tokens_);
    batch.row_indices.reserve(pairs_.size());
    batch.slots.reserve(pairs_.size());
    for (const Pair& pair : pairs_) {
      if (batch.expert_ids.empty() || batch.expert_ids.back() != pair.expert) {
        batch.expert_ids.push_back(pair.expert);
        batch.rows_per_expert.push_back(0);
      }
      ++batch.rows_per_expert.back();
      batch.row_indices.push_back(pair.row);
      batch.slots.push_back(pair.slot);
    }
    batches_->push_back(std::move(batch));
    tokens_.clear();
    pairs_.clear();
  }

 private:
  const std::shared_ptr<ExpertClient> client_;
  std::vector<PlannedBatch>* const batches_;
  size_t max_pairs_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<Pair> pairs_;
};

// The chosen clients, each once, in the order of the first expert they were chosen for.
std::vector<std::shared_ptr<ExpertClient>> DistinctClients(
    const std::vector<std::shared_ptr<ExpertClient>>& chosen) {
  std::vector<std::shared_ptr<ExpertClient>> clients;
  for (const std::shared_ptr<ExpertClient>& client : chosen) {
    if (client == nullptr) continue;
    if (std::find(clients.begin(), clients.end(), client) == clients.end()) {
      clients.push_back(client);
    }
  }
  return clients;
}

}  // namespace

std::vector<int64_t> CountTokensPerExpert(const RoutedTokens& routed, int num_experts) {
  std::vector<int64_t> counts(num_experts);
  for (const int32_t expert : routed.topk_expert_ids) {
    TRAMONTANE_CHECK(expert >= 0 && expert < num_experts);
    ++counts[expert];
  }
  return counts;
}

absl::StatusOr<std::vector<PlannedBatch>> PlanDispatch(const RoutedTokens& routed,
                                                       const ExpertPlacement& placement,
                                                       std::span<const int64_t> tokens_per_expert) {
  const absl::Status missing = MissingExperts(routed, placement, tokens_per_expert);
  if (!missing.ok()) return missing;
  const std::vector<std::shared_ptr<ExpertClient>> chosen =
      ChooseReplicas(routed.layer, placement, tokens_per_expert);

  std::vector<PlannedBatch> batches;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (const std::shared_ptr<ExpertClient>& client : DistinctClients(chosen)) {
    BatchFiller filler(client, &batches);
    for (int64_t token = 0; token < routed.num_tokens; ++token) {
      pairs.clear();
      for (int64_t rank = 0; rank < routed.top_k; ++rank) {
        const int64_t slot = token * routed.top_k + rank;
        const int32_t expert = routed.topk_expert_ids[slot];
        if (chosen[expert] == client) pairs.emplace_back(expert, static_cast<int32_t>(slot));
      }
      if (!pairs.empty()) filler.Add(static_cast<int32_t>(token), pairs);
    }
    filler.Finish();
  }
  return batches;
}

}  // namespace tramontane
