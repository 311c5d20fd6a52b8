#include "coordinator/attention_placement.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/types/span.h"

namespace tramontane {
namespace {

// A hit is worth a worker that runs so many sequences more than the least loaded one.
constexpr int kLoadWorthAHit = 4;

// Calls f(hash) for each beginning of whole blocks, the shortest first, until it returns false.
template <typename F>
void ForEachBeginning(std::span<const int32_t> token_ids, size_t block_size, F f) {
  uint64_t hash = 0;
  for (; token_ids.size() >= block_size; token_ids = token_ids.subspan(block_size)) {
    hash = absl::HashOf(hash, absl::Span<const int32_t>(token_ids.data(), block_size));
    if (!f(hash)) return;
  }
}

}  // namespace

AttentionPlacement::AttentionPlacement(int num_workers, int block_size, size_t max_beginnings)
    : num_workers_(num_workers),
      block_size_(static_cast<size_t>(block_size)),
      max_beginnings_(max_beginnings) {}

int AttentionPlacement::Choose(std::span<const int32_t> token_ids,
                               std::span<const AttentionLoad> loads) {
  int least = -1;
  for (int worker = 0; worker < num_workers_; ++worker) {
    const AttentionLoad& load = loads[static_cast<size_t>(worker)];
    if (!load.ready) continue;
    if (least < 0 || load.num_running < loads[static_cast<size_t>(least)].num_running) {
      least = worker;
    }
  }
  if (least < 0 || num_workers_ == 1) return least;
  int chosen = least;
  const int acceptable = loads[static_cast<size_t>(least)].num_running + kLoadWorthAHit;
  ForEachBeginning(token_ids, block_size_, [&](uint64_t hash) {
    const auto found = beginnings_.find(hash);
    if (found == beginnings_.end()) return false;
    const AttentionLoad& load = loads[static_cast<size_t>(found->second.worker)];
    if (load.ready && load.num_running <= acceptable) chosen = found->second.worker;
    return true;
  });
  return chosen;
}

void AttentionPlacement::Record(std::span<const int32_t> token_ids, int worker) {
  if (num_workers_ == 1) return;
  ForEachBeginning(token_ids, block_size_, [&](uint64_t hash) {
    const auto [entry, inserted] = beginnings_.try_emplace(hash, Beginning{worker, uses_.end()});
    if (!inserted) uses_.erase(entry->second.use);
    entry->second = {worker, uses_.insert(uses_.end(), hash)};
    if (beginnings_.size() > max_beginnings_) {
      beginnings_.erase(uses_.front());
      uses_.pop_front();
    }
    return true;
  });
}

}  // namespace tramontane
