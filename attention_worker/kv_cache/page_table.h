// The blocks of one sequence.
#ifndef TRAMONTANE_ATTENTION_WORKER_KV_CACHE_PAGE_TABLE_H_
#define TRAMONTANE_ATTENTION_WORKER_KV_CACHE_PAGE_TABLE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "attention_worker/kv_cache/kv_block_pool.h"

namespace tramontane {

// Block i holds positions [i * block_size, (i + 1) * block_size). Gives its references back when it
// goes; the pool outlives it. Used by the pool's thread.
class PageTable {
 public:
  // Starts with the cached blocks that hold the beginning of `token_ids`.
  PageTable(KvBlockPool* pool, std::span<const int32_t> token_ids);
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  ~PageTable();

  const std::vector<int32_t>& blocks() const { return blocks_; }
  // Positions that hold keys and values: those of the cached blocks, then what Fill has added.
  int64_t num_tokens() const { return num_tokens_; }

  // Blocks for the positions up to `num_tokens`; false, and unchanged, where too few are free.
  bool Extend(int64_t num_tokens);

  // Gives back the blocks that hold no position yet.
  void Trim();

  // The next positions have been written: they hold `token_ids`. Blocks that are full with them
  // enter the prefix cache, or give way to ones that are there.
  void Fill(std::span<const int32_t> token_ids);

 private:
  KvBlockPool* const pool_;
  std::vector<int32_t> blocks_;
  int64_t num_tokens_ = 0;
  std::vector<int32_t> open_block_;  // tokens of the last block, while it is not full
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_KV_CACHE_PAGE_TABLE_H_
