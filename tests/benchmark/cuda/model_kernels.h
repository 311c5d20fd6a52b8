// The kernels of one layer of Mixtral 8x7B on a CUDA device, with random weights and activations.
#ifndef TRAMONTANE_TESTS_BENCHMARK_CUDA_MODEL_KERNELS_H_
#define TRAMONTANE_TESTS_BENCHMARK_CUDA_MODEL_KERNELS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/kv_layout.h"

namespace tramontane {

// Ends the process with a message where memory runs out.
class ModelKernels {
 public:
  static constexpr int64_t kHidden = 4096, kInner = 14336, kExperts = 8, kHeads = 32, kKvHeads = 8,
                           kHeadDim = 128, kVocab = 32000;
  static constexpr int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;

  // For batches of up to `max_rows`; `backend` outlives it.
  ModelKernels(Backend* backend, int64_t max_rows);

  // Each queues one operation. Matrices are taken in turn from copies that exceed the L2 cache.
  enum class Matrix { kQkv, kOutput, kLmHead };
  void MatMul(Matrix matrix, int64_t num_rows);
  static int64_t Weights(Matrix matrix);
  // `rows_of_each` rows for each of the first `num_experts` experts.
  void ExpertFfn(int64_t num_experts, int64_t rows_of_each);
  // All experts, two a token, each with as many rows as the others where tokens are a multiple of
  // four.
  void RoutedExperts(int64_t num_tokens);
  void RmsNorm(int64_t num_rows);
  void RouteTopK(int64_t num_rows);
  // Of at most 64 rows of logits; 0 and 1: no top-k, no top-p.
  void SampleTokens(int64_t num_rows, int top_k, float top_p);
  void CombineExperts(int64_t num_rows);
  // Sequences of `context` positions, of which the last `num_rows` are in the batch.
  void RopeAndCache(int64_t num_sequences, int64_t num_rows, int64_t context);
  void PagedAttention(int64_t num_sequences, int64_t num_rows, int64_t context);
  // What a layer queues between two hops for `num_rows` sequences of `context` positions. After
  // kDistinctLayers of them, and nothing else, the matrices are those of the first again.
  static constexpr int kDistinctLayers = 3;
  void AttentionLayer(int64_t num_rows, int64_t context);
  // A layer and its experts for the first `num_rows` positions of a sequence.
  void PrefillLayer(int64_t num_rows);
  // The device's memory from one half of a buffer to the other; bytes moved, read and written.
  int64_t CopyHalf();

 private:
  Buffer Random(int64_t count, DType dtype);
  Buffer OnDevice(std::span<const std::byte> bytes);
  KvLayer Cache() const;
  std::vector<SequenceRows> Sequences(int64_t num_sequences, int64_t num_rows, int64_t context);

  Backend* const backend_;
  std::vector<std::vector<std::unique_ptr<PackedMatrix>>> matrices_;  // [Matrix][copies]
  std::vector<std::unique_ptr<PackedExpert>> experts_;
  Buffer rows_, normed_, logits_, qkv_, weights_, answers_, expert_ids_, routed_ids_, gating_,
      keys_, values_;
  Buffer large_;
  std::vector<int32_t> pages_;
  size_t turn_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_CUDA_MODEL_KERNELS_H_
