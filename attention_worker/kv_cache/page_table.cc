#include "attention_worker/kv_cache/page_table.h"

#include <algorithm>

#include "model/check.h"

namespace tramontane {

PageTable::PageTable(KvBlockPool* pool, std::span<const int32_t> token_ids) : pool_(pool) {
  const auto block_size = static_cast<size_t>(pool_->block_size());
  while (token_ids.size() >= block_size) {
    const std::optional<int32_t> block = pool_->FindCached(
        blocks_.empty() ? KvBlockPool::kNoBlock : blocks_.back(), token_ids.first(block_size));
    if (!block.has_value()) break;
    blocks_.push_back(*block);
    num_tokens_ += pool_->block_size();
    token_ids = token_ids.subspan(block_size);
  }
}

PageTable::~PageTable() { pool_->Release(blocks_); }

bool PageTable::Extend(int64_t num_tokens) {
  const auto needed = static_cast<size_t>(pool_->BlocksFor(num_tokens));
  if (needed <= blocks_.size()) return true;
  if (static_cast<int64_t>(needed - blocks_.size()) > pool_->num_free_blocks()) return false;
  while (blocks_.size() < needed) blocks_.push_back(*pool_->Allocate());
  return true;
}

void PageTable::Trim() {
  const auto held = static_cast<size_t>(pool_->BlocksFor(num_tokens_));
  pool_->Release(std::span(blocks_).subspan(held));
  blocks_.resize(held);
}

void PageTable::Fill(std::span<const int32_t> token_ids) {
  const auto block_size = static_cast<size_t>(pool_->block_size());
  TRAMONTANE_CHECK(pool_->BlocksFor(num_tokens_ + static_cast<int64_t>(token_ids.size())) <=
                   static_cast<int64_t>(blocks_.size()));
  while (!token_ids.empty()) {
    const size_t count = std::min(token_ids.size(), block_size - open_block_.size());
    open_block_.insert(open_block_.end(), token_ids.begin(),
                       token_ids.begin() + static_cast<ptrdiff_t>(count));
    token_ids = token_ids.subspan(count);
    num_tokens_ += static_cast<int64_t>(count);
    if (open_block_.size() < block_size) return;
    const auto last = static_cast<size_t>(num_tokens_ / pool_->block_size()) - 1;
    blocks_[last] = pool_->Publish(
        blocks_[last], last == 0 ? KvBlockPool::kNoBlock : blocks_[last - 1], open_block_);
    open_block_.clear();
  }
}

}  // namespace tramontane
