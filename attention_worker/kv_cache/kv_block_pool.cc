#include "attention_worker/kv_cache/kv_block_pool.h"

#include <limits>

#include "model/check.h"

namespace tramontane {

KvBlockPool::KvBlockPool(int64_t num_blocks, int block_size)
    : block_size_(block_size), num_free_blocks_(num_blocks) {
  TRAMONTANE_CHECK(num_blocks >= 0 && num_blocks <= std::numeric_limits<int32_t>::max());
  TRAMONTANE_CHECK(block_size > 0);
  blocks_.resize(static_cast<size_t>(num_blocks));
  empty_.reserve(static_cast<size_t>(num_blocks));
  // Low ids first, so that a lightly used cache touches little memory.
  for (int64_t id = num_blocks - 1; id >= 0; --id) empty_.push_back(static_cast<int32_t>(id));
}

int64_t KvBlockPool::ApproximateBytes(int64_t num_blocks, int block_size) {
  // The allocator's own 16 bytes, with each of: an element of cached_ (link and hash), its tokens,
  // an element of unused_ (two links); a bucket of cached_ for each element.
  constexpr int64_t kAllocation = 16;
  const auto size = static_cast<int64_t>(
      sizeof(Block) + sizeof(int32_t) + sizeof(void*) + (kAllocation + 2 * sizeof(void*)) +
      sizeof(std::pair<const Content, int32_t>) + kAllocation + block_size * sizeof(int32_t) +
      kAllocation + 2 * sizeof(void*) + sizeof(int32_t));
  return num_blocks * size;
}

std::optional<int32_t> KvBlockPool::Allocate() {
  int32_t block = kNoBlock;
  if (!empty_.empty()) {
    block = empty_.back();
    empty_.pop_back();
  } else if (!unused_.empty()) {
    block = unused_.front();
    unused_.pop_front();
    Block& evicted = blocks_[static_cast<size_t>(block)];
    cached_.erase(*evicted.content);
    evicted.content = nullptr;
  } else {
    return std::nullopt;
  }
  blocks_[static_cast<size_t>(block)].references = 1;
  num_free_blocks_.fetch_sub(1, std::memory_order_relaxed);
  return block;
}

std::optional<int32_t> KvBlockPool::FindCached(int32_t previous,
                                               std::span<const int32_t> token_ids) {
  const auto found =
      cached_.find(Content(previous, std::vector<int32_t>(token_ids.begin(), token_ids.end())));
  if (found == cached_.end()) return std::nullopt;
  Reference(found->second);
  return found->second;
}

int32_t KvBlockPool::Publish(int32_t block, int32_t previous, std::span<const int32_t> token_ids) {
  Block& published = blocks_[static_cast<size_t>(block)];
  TRAMONTANE_CHECK(published.references > 0 && published.content == nullptr);
  TRAMONTANE_CHECK(token_ids.size() == static_cast<size_t>(block_size_));
  const auto [entry, inserted] = cached_.try_emplace(
      Content(previous, std::vector<int32_t>(token_ids.begin(), token_ids.end())), block);
  if (inserted) {
    published.content = &entry->first;
    return block;
  }
  Reference(entry->second);
  ReleaseOne(block);
  return entry->second;
}

void KvBlockPool::Release(std::span<const int32_t> blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) ReleaseOne(*block);
}

void KvBlockPool::Reference(int32_t block) {
  Block& referenced = blocks_[static_cast<size_t>(block)];
  if (referenced.references++ > 0) return;
  unused_.erase(referenced.unused);
  num_free_blocks_.fetch_sub(1, std::memory_order_relaxed);
}

void KvBlockPool::ReleaseOne(int32_t block) {
  Block& released = blocks_[static_cast<size_t>(block)];
  TRAMONTANE_CHECK(released.references > 0);
  if (--released.references > 0) return;
  if (released.content != nullptr) {
    released.unused = unused_.insert(unused_.end(), block);
  } else {
    empty_.push_back(block);
  }
  num_free_blocks_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace tramontane
