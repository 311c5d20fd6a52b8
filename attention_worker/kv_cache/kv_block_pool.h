// The free list of a KV cache's blocks.
#ifndef TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_
#define TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"

namespace tramontane {

class PageTable;

// Hands out block ids 0 … num_blocks-1, each to one page table at a time. Thread-safe.
class KvBlockPool {
 public:
  // block_size: tokens of one block.
  KvBlockPool(int64_t num_blocks, int block_size);
  KvBlockPool(const KvBlockPool&) = delete;
  KvBlockPool& operator=(const KvBlockPool&) = delete;

  // Blocks for `num_tokens` positions; nothing where too few are free.
  std::optional<PageTable> Reserve(int64_t num_tokens);

  int64_t BlocksFor(int64_t num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_free_blocks() const;
  int block_size() const { return block_size_; }

 private:
  friend class PageTable;
  void Free(const std::vector<int32_t>& blocks);

  const int64_t num_blocks_;
  const int block_size_;
  mutable std::mutex mutex_;
  std::vector<int32_t> free_ ABSL_GUARDED_BY(mutex_);  // the last one is handed out next
};

// The blocks of one sequence: block i holds positions [i * block_size, (i + 1) * block_size). Gives
// them back when it goes; the pool outlives it. Move-only, not thread-safe.
class PageTable {
 public:
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&& other) noexcept;
  ~PageTable();

  const std::vector<int32_t>& blocks() const { return blocks_; }

 private:
  friend class KvBlockPool;
  PageTable(KvBlockPool* pool, std::vector<int32_t> blocks);

  KvBlockPool* pool_;  // null once moved from
  std::vector<int32_t> blocks_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_
