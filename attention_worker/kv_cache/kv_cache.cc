#include "attention_worker/kv_cache/kv_cache.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention_worker/kv_cache/available_memory.h"
#include "model/log.h"

namespace tramontane {
namespace {

absl::Status CheckOptions(const KvCacheOptions& options) {
  if (options.block_size < kKvTile || options.block_size % kKvTile != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV block size: expected a positive multiple of ", kKvTile, " tokens, found ",
                     options.block_size));
  }
  if (options.capacity_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV cache capacity: expected a number of tokens, or 0 for the default, found ",
                     options.capacity_tokens));
  }
  return absl::OkStatus();
}

// Of the device, or of this machine.
absl::StatusOr<int64_t> AvailableBytes(Backend& backend) {
  const absl::StatusOr<std::optional<int64_t>> of_device = backend.FreeBytes();
  if (!of_device.ok()) return of_device.status();
  return of_device->has_value() ? **of_device : AvailableMemoryBytes();
}

absl::Status TooLittleMemory(int64_t tokens, int64_t bytes_per_token, int64_t available) {
  return absl::ResourceExhaustedError(
      absl::StrCat("a KV cache of ", tokens, " tokens needs ", bytes_per_token, " bytes a token; ",
                   available, " bytes of memory are available: lower the capacity or free memory"));
}

}  // namespace

int64_t KvBytesPerToken(const MixtralConfig& config, DType dtype) {
  return int64_t{2} * config.num_layers * config.num_kv_heads * config.head_dim *
         static_cast<int64_t>(DTypeSize(dtype));
}

int64_t DefaultKvCapacity(const MixtralConfig& config, DType dtype, int64_t available_bytes) {
  return std::min(int64_t{8} * config.max_position_embeddings,
                  available_bytes / 2 / KvBytesPerToken(config, dtype));
}

KvCache::KvCache(const MixtralConfig& config, const KvCacheOptions& options, int64_t num_blocks)
    : dtype_(options.dtype),
      num_kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      pool_(num_blocks, options.block_size) {}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const MixtralConfig& config,
                                                         const KvCacheOptions& options,
                                                         Backend* backend) {
  const absl::Status valid = CheckOptions(options);
  if (!valid.ok()) return valid;
  const absl::StatusOr<int64_t> bytes = AvailableBytes(*backend);
  if (!bytes.ok()) return bytes.status();
  const int64_t available = *bytes;
  const int64_t bytes_per_token = KvBytesPerToken(config, options.dtype);
  const int64_t wanted = options.capacity_tokens > 0
                             ? options.capacity_tokens
                             : DefaultKvCapacity(config, options.dtype, available);
  // In whole blocks; checked by division, since a capacity is any 64-bit number.
  const int64_t num_blocks = KvBlocksFor(wanted, options.block_size);
  if (num_blocks < 1 || num_blocks > std::numeric_limits<int32_t>::max() ||
      num_blocks > available / bytes_per_token / options.block_size) {
    return TooLittleMemory(std::max<int64_t>(wanted, options.block_size), bytes_per_token,
                           available);
  }
  std::unique_ptr<KvCache> cache(new KvCache(config, options, num_blocks));
  const auto layer_bytes = static_cast<size_t>(bytes_per_token / (2 * config.num_layers)) *
                           static_cast<size_t>(num_blocks * options.block_size);
  for (int i = 0; i < 2 * config.num_layers; ++i) {
    absl::StatusOr<Buffer> buffer = backend->Allocate(layer_bytes);
    if (!buffer.ok()) return buffer.status();
    (i % 2 == 0 ? cache->keys_ : cache->values_).push_back(*std::move(buffer));
  }
  Log(LogLevel::kInfo, "KV cache ready",
      {{"tokens", num_blocks * options.block_size},
       {"block_size", options.block_size},
       {"dtype", DTypeName(options.dtype)},
       {"bytes", num_blocks * options.block_size * bytes_per_token}});
  return cache;
}

KvLayer KvCache::Layer(int layer) const {
  return {.keys = keys_[layer].bytes(),
          .values = values_[layer].bytes(),
          .dtype = dtype_,
          .num_kv_heads = num_kv_heads_,
          .head_dim = head_dim_,
          .block_size = pool_.block_size()};
}

}  // namespace tramontane
