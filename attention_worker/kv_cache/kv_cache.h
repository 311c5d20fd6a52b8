// Keys and values of all running sequences, in blocks.
#ifndef TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_CACHE_H_
#define TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "attention_worker/kv_cache/kv_block_pool.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/kv_layout.h"
#include "model/config.h"
#include "model/dtype.h"

namespace tramontane {

struct KvCacheOptions {
  DType dtype = DType::kBF16;
  int block_size = 16;          // tokens; a multiple of kKvTile
  int64_t capacity_tokens = 0;  // over all sequences; 0: DefaultKvCapacity
};

// Bytes that one token's keys and values take over all layers.
int64_t KvBytesPerToken(const MixtralConfig& config, DType dtype);

// Blocks that hold `num_tokens` tokens.
constexpr int64_t KvBlocksFor(int64_t num_tokens, int block_size) {
  return num_tokens / block_size + (num_tokens % block_size != 0);
}

// 8 x the model's context, or what half of `available_bytes` holds where that is less.
int64_t DefaultKvCapacity(const MixtralConfig& config, DType dtype, int64_t available_bytes);

// The memory, and the pool that says whose each block is. One block id stands for the same block in
// every layer. Layers are written and read by the backend's operations only; the pool is
// thread-safe.
class KvCache {
 public:
  // INVALID_ARGUMENT for a block size that is no positive multiple of kKvTile or a negative
  // capacity; RESOURCE_EXHAUSTED, with needed and available bytes, for one that memory cannot hold.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const MixtralConfig& config,
                                                         const KvCacheOptions& options,
                                                         Backend* backend);

  KvLayer Layer(int layer) const;
  KvBlockPool& pool() { return pool_; }
  const KvBlockPool& pool() const { return pool_; }

 private:
  KvCache(const MixtralConfig& config, const KvCacheOptions& options, int64_t num_blocks);

  const DType dtype_;
  const int64_t num_kv_heads_;
  const int64_t head_dim_;
  std::vector<Buffer> keys_;    // [num_layers]
  std::vector<Buffer> values_;  // [num_layers]
  KvBlockPool pool_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_KV_CACHE_KV_CACHE_H_
