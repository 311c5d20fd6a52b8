#include "tests/kernels/attention_case.h"

#include <algorithm>

#include "kernels/kv_slot.h"

namespace tramontane {

AttentionCase::AttentionCase(const AttentionShape& shape, const std::vector<int64_t>& lengths)
    : shape_(shape) {
  int32_t num_blocks = 0;
  for (const int64_t length : lengths) {
    page_tables_.emplace_back();
    for (int64_t p = 0; p < length; p += shape.block_size) {
      page_tables_.back().push_back(num_blocks++);
    }
  }
  // Scattered: the blocks of a sequence run backwards through the cache.
  for (auto& table : page_tables_) {
    for (int32_t& block : table) block = num_blocks - 1 - block;
  }
  const std::vector<int64_t> cache_shape = {num_blocks, shape.num_kv_heads, shape.block_size,
                                            shape.head_dim};
  keys_ = PoisonedTensor(cache_shape, shape.cache_dtype);
  values_ = PoisonedTensor(cache_shape, shape.cache_dtype);
}

KvLayer AttentionCase::Layer() {
  KvLayer layer;
  layer.keys = keys_.bytes.data();
  layer.values = values_.bytes.data();
  layer.dtype = shape_.cache_dtype;
  layer.num_kv_heads = shape_.num_kv_heads;
  layer.head_dim = shape_.head_dim;
  layer.block_size = shape_.block_size;
  return layer;
}

std::vector<float> AttentionCase::Run(Backend* backend, const std::vector<Chunk>& chunks,
                                      DType output_dtype) {
  Rotate(backend, chunks);
  return Attend(backend, output_dtype);
}

void AttentionCase::Rotate(Backend* backend, const std::vector<Chunk>& chunks) {
  int64_t num_tokens = 0;
  sequences_.clear();
  qkv_.clear();
  for (const Chunk& chunk : chunks) {
    sequences_.push_back(
        {num_tokens, chunk.num_rows, chunk.first_position, page_tables_[chunk.sequence]});
    num_tokens += chunk.num_rows;
    for (int64_t r = 0; r < chunk.num_rows; ++r) {
      const auto seed =
          static_cast<uint32_t>(1000 * (chunk.sequence + 1) + chunk.first_position + r);
      const std::vector<float> row = RandomFloats(shape_.qkv_size(), seed, 2.0f);
      qkv_.insert(qkv_.end(), row.begin(), row.end());
    }
  }
  RopeAndCacheArgs rope;
  rope.qkv = qkv_.data();
  rope.num_heads = shape_.num_heads;
  rope.rope_theta = 1e4;
  rope.cache = Layer();
  rope.sequences = sequences_;
  rope.num_tokens = num_tokens;
  backend->RopeAndCache(rope);
}

std::vector<float> AttentionCase::Attend(Backend* backend, DType output_dtype) {
  const auto num_tokens = static_cast<int64_t>(qkv_.size()) / shape_.qkv_size();
  TestTensor output =
      PoisonedTensor({num_tokens, shape_.num_heads * shape_.head_dim}, output_dtype);
  PagedAttentionArgs attention;
  attention.qkv = qkv_.data();
  attention.num_heads = shape_.num_heads;
  attention.sliding_window = shape_.window;
  attention.cache = Layer();
  attention.sequences = sequences_;
  attention.num_tokens = num_tokens;
  attention.output = output.bytes.data();
  attention.output_dtype = output_dtype;
  backend->PagedAttention(attention);
  return output.floats();
}

void AttentionCase::RoundQueries() {
  const int64_t query_size = shape_.num_heads * shape_.head_dim;
  for (size_t i = 0; i < qkv_.size(); ++i) {
    if (static_cast<int64_t>(i) % shape_.qkv_size() >= query_size) continue;
    qkv_[i] = ToFloat(ToBFloat16(qkv_[i]));
  }
}

std::vector<float> AttentionCase::Cached(bool keys, size_t sequence, int64_t position) const {
  KvLayer layer = const_cast<AttentionCase*>(this)->Layer();
  std::vector<float> row;
  for (int64_t h = 0; h < shape_.num_kv_heads; ++h) {
    const int64_t offset = KvSlotOffset(layer, page_tables_[sequence], h, position);
    const std::byte* bytes = (keys ? layer.keys : layer.values) + offset;
    const auto size = static_cast<size_t>(shape_.head_dim) * DTypeSize(shape_.cache_dtype);
    TestTensor slot{shape_.cache_dtype, {1, shape_.head_dim}, {bytes, bytes + size}};
    for (const float value : slot.floats()) row.push_back(value);
  }
  return row;
}

}  // namespace tramontane
