// Sequences in a paged cache, for the tests of attention and of rotary embedding.
#ifndef TRAMONTANE_TESTS_KERNELS_ATTENTION_CASE_H_
#define TRAMONTANE_TESTS_KERNELS_ATTENTION_CASE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "kernels/paged_attention.h"
#include "kernels/rope_and_cache.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {

struct AttentionShape {
  int64_t num_heads = 4;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 32;
  DType cache_dtype = DType::kF32;
  int64_t block_size = 16;
  std::optional<int> window;

  int64_t qkv_size() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
};

// A piece of one sequence, as a batch takes it.
struct Chunk {
  size_t sequence = 0;
  int64_t first_position = 0;
  int64_t num_rows = 0;
};

// One layer's cache of a few sequences, whose blocks lie scattered; every slot starts as a NaN.
class AttentionCase {
 public:
  AttentionCase(const AttentionShape& shape, const std::vector<int64_t>& lengths);

  // Rotates and caches, then attends, the rows of `chunks` as one batch. qkv rows of a position are
  // the same in every batch. Returns [rows, num_heads * head_dim].
  std::vector<float> Run(Backend* backend, const std::vector<Chunk>& chunks,
                         DType output_dtype = DType::kF32);

  // The two steps of Run; the second may be repeated, by other backends too.
  void Rotate(Backend* backend, const std::vector<Chunk>& chunks);
  std::vector<float> Attend(Backend* backend, DType output_dtype = DType::kF32);

  // Rounds the batch's rotated queries to bf16.
  void RoundQueries();

  // After Run or Rotate: q, k and v rows, rotated, of the last batch.
  const std::vector<float>& qkv() const { return qkv_; }
  // The cached key or value of a position as floats [num_kv_heads, head_dim].
  std::vector<float> Cached(bool keys, size_t sequence, int64_t position) const;

 private:
  KvLayer Layer();

  const AttentionShape shape_;
  std::vector<std::vector<int32_t>> page_tables_;
  TestTensor keys_, values_;
  std::vector<SequenceRows> sequences_;  // of the last batch
  std::vector<float> qkv_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_ATTENTION_CASE_H_
