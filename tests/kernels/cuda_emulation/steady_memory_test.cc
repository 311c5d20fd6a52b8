// A server that has started allocates nothing more, however large its batches become.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {
namespace {

constexpr int64_t kMaxTokens = 100, kVocabSize = 20, kHidden = 72, kInner = 40;
constexpr int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 16,
                  kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
constexpr int64_t kExperts = 4, kTopK = 2, kBlockSize = 16, kCacheBlocks = 60;

// One layer of a model whose memory is there before the first step.
class SteadyMemoryTest : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    auto backend = CreateCudaBackend({GetParam(), 0});
    ASSERT_TRUE(backend.ok());
    backend_ = *std::move(backend);
    table_ = Own(kVocabSize * kHidden * 4);
    hidden_ = Own(kMaxTokens * kHidden * 4);
    norm_ = Own(kHidden * 4);
    normed_ = Own(kMaxTokens * kHidden * 4);
    qkv_ = Own(kMaxTokens * kQkv * 4);
    attended_ = Own(kMaxTokens * kHeads * kHeadDim * 4);
    logits_ = Own(kMaxTokens * kExperts * 4);
    ids_ = Own(kMaxTokens * kTopK * 4);
    weights_ = Own(kMaxTokens * kTopK * 4);
    answers_ = Own(kMaxTokens * kTopK * kHidden * 4);
    cache_.keys = Own(kCacheBlocks * kKvHeads * kBlockSize * kHeadDim * 4);
    cache_.values = Own(kCacheBlocks * kKvHeads * kBlockSize * kHeadDim * 4);
    cache_.dtype = GetParam();
    cache_.num_kv_heads = kKvHeads;
    cache_.head_dim = kHeadDim;
    cache_.block_size = kBlockSize;
    projection_ = Pack({kQkv, kHidden});
    router_ = Pack({kExperts, kHidden});
    for (int64_t e = 0; e < kExperts; ++e) {
      const TestTensor up = RandomTensor({kInner, kHidden}, GetParam(), 1),
                       down = RandomTensor({kHidden, kInner}, GetParam(), 2);
      auto expert = backend_->PackExpert(up.view(), up.view(), down.view());
      ASSERT_TRUE(expert.ok());
      owned_experts_.push_back(*std::move(expert));
      experts_.push_back(owned_experts_.back().get());
    }
  }

  std::byte* Own(int64_t num_bytes) {
    auto buffer = backend_->Allocate(static_cast<size_t>(num_bytes));
    EXPECT_TRUE(buffer.ok());
    buffers_.push_back(*std::move(buffer));
    return buffers_.back().bytes();
  }

  std::unique_ptr<PackedMatrix> Pack(std::vector<int64_t> shape) {
    const TestTensor weight = RandomTensor(std::move(shape), GetParam(), 3);
    const TensorView view = weight.view();
    auto packed = backend_->Pack({&view, 1});
    EXPECT_TRUE(packed.ok());
    return *std::move(packed);
  }

  // A step of sequences of so many rows each, the first at `first_position`.
  void Step(const std::vector<int64_t>& rows_of_sequences, int64_t first_position) {
    std::vector<int32_t> pages(kCacheBlocks);
    for (size_t p = 0; p < pages.size(); ++p) pages[p] = static_cast<int32_t>(p);
    std::vector<SequenceRows> sequences;
    int64_t num_tokens = 0;
    for (const int64_t rows : rows_of_sequences) {
      sequences.push_back({num_tokens, rows, first_position, pages});
      num_tokens += rows;
    }
    Attend(sequences, num_tokens);
    RunExperts(num_tokens);
    ASSERT_TRUE(backend_->Finish().ok());
  }

  void Attend(const std::vector<SequenceRows>& sequences, int64_t num_tokens) {
    auto* const hidden = reinterpret_cast<float*>(hidden_);
    const TensorView embedding = {"table", DType::kF32, {kVocabSize, kHidden}, table_};
    const std::vector<int32_t> token_ids(static_cast<size_t>(num_tokens), 7);
    backend_->EmbedTokens({&embedding, token_ids.data(), hidden, num_tokens});
    RmsNormArgs norm;
    norm.input = hidden;
    norm.weight = reinterpret_cast<const float*>(norm_);
    norm.output = normed_;
    norm.output_dtype = GetParam();
    norm.num_tokens = num_tokens;
    norm.hidden_size = kHidden;
    backend_->RmsNorm(norm);
    auto* const qkv = reinterpret_cast<float*>(qkv_);
    backend_->MatMul({normed_, projection_.get(), qkv, num_tokens});
    RopeAndCacheArgs rope;
    rope.qkv = qkv;
    rope.num_heads = kHeads;
    rope.cache = cache_;
    rope.sequences = sequences;
    rope.num_tokens = num_tokens;
    backend_->RopeAndCache(rope);
    PagedAttentionArgs attention;
    attention.qkv = qkv;
    attention.num_heads = kHeads;
    attention.cache = cache_;
    attention.sequences = sequences;
    attention.num_tokens = num_tokens;
    attention.output = attended_;
    backend_->PagedAttention(attention);
  }

  // Beside the attention, and as a worker would with rows that came off the wire.
  void RunExperts(int64_t num_tokens) {
    const auto n = static_cast<size_t>(num_tokens);
    auto* const logits = reinterpret_cast<float*>(logits_);
    auto* const ids = reinterpret_cast<int32_t*>(ids_);
    auto* const weights = reinterpret_cast<float*>(weights_);
    backend_->MatMul({normed_, router_.get(), logits, num_tokens});
    backend_->RouteTopK({logits, ids, weights, num_tokens, kExperts, kTopK});
    backend_->RoutedExperts({experts_, normed_, ids, answers_, num_tokens, kTopK});
    const TestTensor row = RandomTensor({1, kHidden}, GetParam(), 4);
    const std::vector<const std::byte*> rows(n, row.bytes.data());
    std::vector<ExpertRows> groups;
    for (const PackedExpert* expert : experts_) groups.push_back({expert, rows, answers_});
    backend_->ExpertFfn({groups});
    const size_t row_bytes = kHidden * DTypeSize(GetParam());
    std::vector<const std::byte*> answers;
    for (size_t r = 0; r < n * kTopK; ++r) answers.push_back(answers_ + r * row_bytes);
    backend_->CombineExperts({answers.data(), GetParam(), weights,
                              reinterpret_cast<float*>(hidden_), nullptr, num_tokens, kTopK,
                              kHidden});
  }

  std::unique_ptr<Backend> backend_;
  std::vector<Buffer> buffers_;
  std::byte *table_, *hidden_, *norm_, *normed_, *qkv_, *attended_, *logits_, *ids_, *weights_,
      *answers_;
  KvLayer cache_;
  std::unique_ptr<PackedMatrix> projection_, router_;
  std::vector<std::unique_ptr<PackedExpert>> owned_experts_;
  std::vector<const PackedExpert*> experts_;
};

INSTANTIATE_TEST_SUITE_P(, SteadyMemoryTest, testing::Values(DType::kBF16, DType::kF32),
                         [](const auto& dtype) { return std::string(DTypeName(dtype.param)); });

TEST_P(SteadyMemoryTest, LargerStepsAllocateNothingAfterASmallOne) {
  Step({1}, 0);
  const int after_start = EmulatedNumAllocations();
  EXPECT_GT(after_start, 0);
  Step({3, 1}, 0);
  Step({1, 1, 1, 5}, 300);
  Step({80, 1, 1}, 500);
  Step({1}, 900);
  Step({kMaxTokens}, 0);
  Step({2, 2, 2, 2, 2, 2, 2}, 700);
  EXPECT_EQ(EmulatedNumAllocations(), after_start);
}

// What is larger than its bound is allocated once, and kept.
TEST_P(SteadyMemoryTest, RowsThatExceedTheStagedMemoryAreStagedAllTheSame) {
  CudaBackendOptions options;
  options.compute_dtype = GetParam();
  options.staging_bytes = 1;
  auto small = CreateCudaBackend(options);
  ASSERT_TRUE(small.ok());
  std::swap(backend_, *small);
  Step({80, 1, 1}, 500);
  Step({80, 1, 1}, 500);
  const int after_start = EmulatedNumAllocations();
  Step({80, 1, 1}, 500);
  EXPECT_EQ(EmulatedNumAllocations(), after_start);
}

}  // namespace
}  // namespace tramontane
