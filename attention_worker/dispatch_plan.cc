#include "attention_worker/dispatch_plan.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "attention_worker/replica_choice.h"
#include "model/check.h"

namespace tramontane {
namespace {

// One (row, expert) pair of a batch that is being filled.
struct Pair {
  int32_t expert = 0;
  int32_t row = 0;   // in the batch
  int32_t slot = 0;  // in the answer
};

// The experts that have pairs, and the workers that may compute them.
struct Demands {
  std::vector<int>
      index_of_expert;  // [num_experts] into `experts`, -1 where there is nothing to do
  std::vector<ExpertDemand> experts;
  std::vector<std::shared_ptr<ExpertClient>> workers;
};

Demands FindDemands(int layer, std::span<const int64_t> tokens_per_expert,
                    const ExpertPlacement& placement, std::span<const ExpertClient* const> excluded,
                    std::vector<int>& missing_experts) {
  Demands demands;
  demands.index_of_expert.assign(tokens_per_expert.size(), -1);
  std::unordered_map<const ExpertClient*, int> index_of_worker;
  for (size_t expert = 0; expert < tokens_per_expert.size(); ++expert) {
    if (tokens_per_expert[expert] == 0) continue;
    ExpertDemand demand{tokens_per_expert[expert], {}};
    for (const auto& client : placement.Replicas(layer, static_cast<int>(expert))) {
      if (std::find(excluded.begin(), excluded.end(), client.get()) != excluded.end()) continue;
      const auto [known, inserted] =
          index_of_worker.try_emplace(client.get(), static_cast<int>(demands.workers.size()));
      if (inserted) demands.workers.push_back(client);
      demand.replicas.push_back(known->second);
    }
    if (demand.replicas.empty()) {
      missing_experts.push_back(static_cast<int>(expert));
      continue;
    }
    demands.index_of_expert[expert] = static_cast<int>(demands.experts.size());
    demands.experts.push_back(std::move(demand));
  }
  return demands;
}

std::vector<ReplicaSpeed> ReadSpeeds(const std::vector<std::shared_ptr<ExpertClient>>& workers,
                                     absl::Time now) {
  std::vector<ReplicaLoad::Reading> readings;
  readings.reserve(workers.size());
  for (const auto& worker : workers) readings.push_back(worker->load()->Read());
  return EstimateSpeeds(readings, now);
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
  std::shared_ptr<ExpertClient> client_;
  std::vector<PlannedBatch>* batches_;
  size_t max_pairs_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<Pair> pairs_;
};

// Deals an expert's pairs out to its shares, in the order of the tokens.
class ShareDealer {
 public:
  explicit ShareDealer(std::vector<ExpertShare> shares) : shares_(std::move(shares)) {}

  int NextWorker() {
    while (shares_[current_].num_pairs == 0) ++current_;
    --shares_[current_].num_pairs;
    return shares_[current_].worker;
  }

 private:
  std::vector<ExpertShare> shares_;
  size_t current_ = 0;
};

// One pair of a token, and who computes it.
struct DealtPair {
  int worker = 0;
  int32_t expert = 0;
  int32_t slot = 0;
};

// Hands the pairs of one token to the fillers of their workers. Empties `pairs`.
void FillToken(int32_t token, std::vector<DealtPair>& pairs, std::vector<BatchFiller>& fillers) {
  std::vector<std::pair<int32_t, int32_t>> of_worker;
  while (!pairs.empty()) {
    const int worker = pairs.front().worker;
    of_worker.clear();
    for (const DealtPair& pair : pairs) {
      if (pair.worker == worker) of_worker.emplace_back(pair.expert, pair.slot);
    }
    std::erase_if(pairs, [worker](const DealtPair& pair) { return pair.worker == worker; });
    fillers[worker].Add(token, of_worker);
  }
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

DispatchPlan PlanDispatch(const RoutedTokens& routed, std::span<const int32_t> slots,
                          const ExpertPlacement& placement,
                          std::span<const ExpertClient* const> excluded, absl::Time now) {
  std::vector<int64_t> tokens_per_expert(placement.num_experts);
  for (const int32_t slot : slots) ++tokens_per_expert[routed.topk_expert_ids[slot]];
  DispatchPlan plan;
  const Demands demands =
      FindDemands(routed.layer, tokens_per_expert, placement, excluded, plan.missing_experts);
  std::vector<ShareDealer> dealers;
  for (auto& shares : ChooseReplicas(demands.experts, ReadSpeeds(demands.workers, now))) {
    dealers.emplace_back(std::move(shares));
  }
  std::vector<BatchFiller> fillers;
  for (const auto& worker : demands.workers) fillers.emplace_back(worker, &plan.batches);

  std::vector<DealtPair> pairs;
  for (size_t i = 0; i < slots.size(); ++i) {
    const int32_t expert = routed.topk_expert_ids[slots[i]];
    const int index = demands.index_of_expert[expert];
    if (index >= 0) pairs.push_back({dealers[index].NextWorker(), expert, slots[i]});
    const auto token = static_cast<int32_t>(slots[i] / routed.top_k);
    const bool last_of_token = i + 1 == slots.size() || slots[i + 1] / routed.top_k != token;
    if (last_of_token) FillToken(token, pairs, fillers);
  }
  for (BatchFiller& filler : fillers) filler.Finish();
  return plan;
}

}  // namespace tramontane
