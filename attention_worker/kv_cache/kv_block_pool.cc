#include "attention_worker/kv_cache/kv_block_pool.h"

#include <limits>
#include <utility>

#include "model/check.h"

namespace tramontane {

KvBlockPool::KvBlockPool(int64_t num_blocks, int block_size)
    : num_blocks_(num_blocks), block_size_(block_size) {
  TRAMONTANE_CHECK(num_blocks >= 0 && num_blocks <= std::numeric_limits<int32_t>::max());
  TRAMONTANE_CHECK(block_size > 0);
  free_.reserve(static_cast<size_t>(num_blocks));
  // Low ids first, so that a lightly used cache touches little memory.
  for (int64_t id = num_blocks - 1; id >= 0; --id) free_.push_back(static_cast<int32_t>(id));
}

std::optional<PageTable> KvBlockPool::Reserve(int64_t num_tokens) {
  const auto count = static_cast<size_t>(BlocksFor(num_tokens));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_.size() < count) return std::nullopt;
  const auto begin = free_.end() - static_cast<std::ptrdiff_t>(count);
  std::vector<int32_t> blocks(std::make_reverse_iterator(free_.end()),
                              std::make_reverse_iterator(begin));
  free_.erase(begin, free_.end());
  return PageTable(this, std::move(blocks));
}

int64_t KvBlockPool::num_free_blocks() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(free_.size());
}

void KvBlockPool::Free(const std::vector<int32_t>& blocks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  free_.insert(free_.end(), blocks.rbegin(), blocks.rend());
  TRAMONTANE_CHECK(static_cast<int64_t>(free_.size()) <= num_blocks_);
}

PageTable::PageTable(KvBlockPool* pool, std::vector<int32_t> blocks)
    : pool_(pool), blocks_(std::move(blocks)) {}

PageTable::PageTable(PageTable&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), blocks_(std::exchange(other.blocks_, {})) {}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

PageTable::~PageTable() {
  if (pool_ != nullptr) pool_->Free(blocks_);
}

}  // namespace tramontane
