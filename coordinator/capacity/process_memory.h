// What one process of each kind takes of memory, item by item. docs/capacity.md explains the items
// and compares them with what started processes take.
#ifndef TRAMONTANE_COORDINATOR_CAPACITY_PROCESS_MEMORY_H_
#define TRAMONTANE_COORDINATOR_CAPACITY_PROCESS_MEMORY_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "coordinator/capacity/capacity_request.h"

namespace tramontane {

// Part of a process's memory, in bytes.
struct MemoryItem {
  std::string_view name;  // a word or two, of static storage
  int64_t bytes = 0;
};

// In the order in which tables show it.
struct ProcessMemory {
  std::vector<MemoryItem> items;

  int64_t total() const;
  // 0 where there is no such item.
  int64_t Bytes(std::string_view name) const;
};

inline constexpr std::string_view kWeightsItem = "weights";
inline constexpr std::string_view kKvCacheItem = "KV cache";
inline constexpr std::string_view kBatchesItem = "batches";  // rows on their way
inline constexpr std::string_view kScratchItem = "scratch";  // of kernels and the sampler
inline constexpr std::string_view kActivationsItem = "activations";
inline constexpr std::string_view kProbeItem = "probe";          // one packed expert, for a moment
inline constexpr std::string_view kEmbeddingItem = "embedding";  // mapped: rows that were read
inline constexpr std::string_view kRequestsItem = "requests";    // tokens, texts and streams
inline constexpr std::string_view kTokenizerItem = "tokenizer";
inline constexpr std::string_view kProcessItem = "process";  // code, libraries, gRPC, threads

// Experts [first_expert, first_expert + num_experts) of layers [first_layer, first_layer +
// num_layers).
struct ExpertBlock {
  int first_layer = 0;
  int num_layers = 0;
  int first_expert = 0;
  int num_experts = 0;
};

// An expert worker with these experts, to which `num_attention` processes send batches.
ProcessMemory ExpertWorkerMemory(const CapacityRequest& request, const ExpertBlock& block,
                                 int64_t num_attention);

// A process that runs attention for `users` at once, with a KV cache of `kv_cache_tokens`; with
// `is_coordinator` also what a coordinator has.
ProcessMemory AttentionMemory(const CapacityRequest& request, int64_t kv_cache_tokens,
                              int64_t users, bool is_coordinator);

// A coordinator whose attention runs elsewhere.
ProcessMemory CoordinatorMemory(const CapacityRequest& request);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_CAPACITY_PROCESS_MEMORY_H_
