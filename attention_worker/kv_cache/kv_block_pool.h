// Whose the blocks of a KV cache are, and what the full ones hold.
#ifndef TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_
#define TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"

namespace tramontane {

// Hands out block ids 0 … num_blocks-1 with reference counts, and remembers the tokens of full
// blocks, so that sequences with the same beginning share them: the prefix cache. A full block that
// nobody references keeps its content until it is needed for something else, least recently used
// first. Blocks are matched by their tokens and those before them, not by a hash alone, so that a
// hit is never wrong. Used by one thread, but for num_free_blocks.
class KvBlockPool {
 public:
  // The block before the first one.
  static constexpr int32_t kNoBlock = -1;

  // block_size: tokens of one block.
  KvBlockPool(int64_t num_blocks, int block_size);
  KvBlockPool(const KvBlockPool&) = delete;
  KvBlockPool& operator=(const KvBlockPool&) = delete;

  // A block for new content, referenced once; nothing where every block is referenced.
  std::optional<int32_t> Allocate();

  // The block that holds `token_ids` [block_size] after the content of `previous` and what is
  // before that, referenced once more; nothing where none is cached.
  std::optional<int32_t> FindCached(int32_t previous, std::span<const int32_t> token_ids);

  // `block`, which the caller references, is full: it holds `token_ids` [block_size] after
  // `previous`, a cached block that the caller references (or kNoBlock), and will not change any
  // more. Returns the block to use from now on: another one where that content is cached already;
  // then the reference has moved there.
  int32_t Publish(int32_t block, int32_t previous, std::span<const int32_t> token_ids);

  // Gives back one reference to each. Later blocks of a sequence must not be kept longer than
  // earlier ones: give them back together.
  void Release(std::span<const int32_t> blocks);

  int64_t BlocksFor(int64_t num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  // That Allocate can hand out: empty ones, and cached ones that nobody references. Any thread.
  int64_t num_free_blocks() const { return num_free_blocks_.load(std::memory_order_relaxed); }
  int block_size() const { return block_size_; }

  // About what a pool takes once every block is cached.
  static int64_t ApproximateBytes(int64_t num_blocks, int block_size);

 private:
  // The block before, and the tokens of this one: with it all of the sequence up to here.
  using Content = std::pair<int32_t, std::vector<int32_t>>;
  struct Block {
    int32_t references = 0;
    const Content* content = nullptr;     // in cached_; null where it is not cached
    std::list<int32_t>::iterator unused;  // in unused_, where it is cached and not referenced
  };

  void Reference(int32_t block);
  void ReleaseOne(int32_t block);

  const int block_size_;
  std::vector<Block> blocks_;
  std::vector<int32_t> empty_;  // neither referenced nor cached; the last one is handed out next
  // Cached and not referenced, least recently used first. A block stands before the one that it
  // continues, so that this one is not handed out while it can still be found through it.
  std::list<int32_t> unused_;
  std::unordered_map<Content, int32_t, absl::Hash<Content>> cached_;
  std::atomic<int64_t> num_free_blocks_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_BLOCK_POOL_H_
