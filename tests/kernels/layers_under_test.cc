#include "tests/kernels/layers_under_test.h"

#include <cstring>
#include <utility>

#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr int64_t kVocabSize = 20, kHidden = 72, kInner = 40;
constexpr int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 16,
                  kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
constexpr int64_t kExperts = 4, kTopK = 2, kBlockSize = 16;
constexpr int64_t kBlocksOfSequence = LayersUnderTest::kMaxPositions / kBlockSize;
constexpr int64_t kCacheBlocks = kBlocksOfSequence * LayersUnderTest::kMaxSequences;
constexpr float kScale = 0.3f;

}  // namespace

std::vector<LayersCase> AllLayers() {
  return {{DType::kBF16, false}, {DType::kBF16, true}, {DType::kF32, false}, {DType::kF32, true}};
}

std::string LayersCaseName(const LayersCase& layers_case) {
  return std::string(DTypeName(layers_case.compute_dtype)) +
         (layers_case.hops ? "_hops" : "_local");
}

LayersUnderTest::LayersUnderTest(Backend* backend, const Options& options)
    : backend_(backend), options_(options) {
  table_ = Share(kVocabSize * kHidden * 4);
  norm_ = Share(kHidden * 4);
  hidden_ = Own(kMaxTokens * kHidden * 4);
  normed_ = Own(kMaxTokens * kHidden * 4);
  qkv_ = Own(kMaxTokens * kQkv * 4);
  attended_ = Own(kMaxTokens * kHeads * kHeadDim * 4);
  logits_ = Own(kMaxTokens * kExperts * 4);
  ids_ = Share(kMaxTokens * kTopK * 4);
  gating_ = Own(kMaxTokens * kTopK * 4);
  answers_ = Own(kMaxTokens * kTopK * kHidden * 4);
  sent_ = Share(kMaxTokens * kHidden * 4);
  result_ = Share(kMaxTokens * kHidden * 4);
  const TestTensor table = RandomTensor({kVocabSize, kHidden}, DType::kF32, 1);
  std::memcpy(table_, table.bytes.data(), table.bytes.size());
  const TestTensor norm = RandomTensor({kHidden}, DType::kF32, 2);
  std::memcpy(norm_, norm.bytes.data(), norm.bytes.size());
  for (int l = 0; l < options.num_layers; ++l) {
    layers_.push_back(MakeLayer(static_cast<uint32_t>(100 * (l + 1))));
  }
}

LayersUnderTest::Layer LayersUnderTest::MakeLayer(uint32_t seed) {
  const DType dtype = backend_->compute_dtype();
  Layer layer;
  layer.cache.keys = Own(kCacheBlocks * kKvHeads * kBlockSize * kHeadDim * 4);
  layer.cache.values = Own(kCacheBlocks * kKvHeads * kBlockSize * kHeadDim * 4);
  layer.cache.dtype = dtype;
  layer.cache.num_kv_heads = kKvHeads;
  layer.cache.head_dim = kHeadDim;
  layer.cache.block_size = kBlockSize;
  layer.qkv = Pack({kQkv, kHidden}, seed);
  layer.output = Pack({kHidden, kHeads * kHeadDim}, seed + 1);
  layer.router = Pack({kExperts, kHidden}, seed + 2);
  for (uint32_t e = 0; e < kExperts; ++e) {
    const TestTensor w1 = RandomTensor({kInner, kHidden}, dtype, seed + 10 + e, kScale),
                     w3 = RandomTensor({kInner, kHidden}, dtype, seed + 20 + e, kScale),
                     w2 = RandomTensor({kHidden, kInner}, dtype, seed + 30 + e, kScale);
    auto expert = backend_->PackExpert(w1.view(), w3.view(), w2.view());
    TRAMONTANE_CHECK(expert.ok());
    layer.owned_experts.push_back(*std::move(expert));
    layer.experts.push_back(layer.owned_experts.back().get());
  }
  return layer;
}

std::byte* LayersUnderTest::Own(int64_t num_bytes) {
  auto buffer = backend_->Allocate(static_cast<size_t>(num_bytes));
  TRAMONTANE_CHECK(buffer.ok());
  buffers_.push_back(*std::move(buffer));
  return buffers_.back().bytes();
}

std::byte* LayersUnderTest::Share(int64_t num_bytes) {
  auto buffer = backend_->AllocateShared(static_cast<size_t>(num_bytes));
  TRAMONTANE_CHECK(buffer.ok());
  buffers_.push_back(*std::move(buffer));
  return buffers_.back().bytes();
}

std::unique_ptr<PackedMatrix> LayersUnderTest::Pack(std::vector<int64_t> shape, uint32_t seed) {
  const TestTensor weight = RandomTensor(std::move(shape), backend_->compute_dtype(), seed, kScale);
  const TensorView view = weight.view();
  auto packed = backend_->Pack({&view, 1});
  TRAMONTANE_CHECK(packed.ok());
  return *std::move(packed);
}

absl::Status LayersUnderTest::Step(const std::vector<int64_t>& rows_of_sequences,
                                   int64_t first_position) {
  std::vector<std::vector<int32_t>> page_tables(rows_of_sequences.size());
  std::vector<SequenceRows> sequences;
  num_tokens_ = 0;
  for (size_t s = 0; s < rows_of_sequences.size(); ++s) {
    for (int64_t p = 0; p < kBlocksOfSequence; ++p) {
      page_tables[s].push_back(static_cast<int32_t>(p * kMaxSequences + static_cast<int64_t>(s)));
    }
    sequences.push_back({num_tokens_, rows_of_sequences[s], first_position, page_tables[s]});
    num_tokens_ += rows_of_sequences[s];
  }
  Embed();
  for (const Layer& layer : layers_) {
    Attend(layer, sequences);
    Route(layer);
    if (options_.hops) {
      if (const absl::Status sent = SendToExperts(layer); !sent.ok()) return sent;
      continue;
    }
    backend_->RoutedExperts(
        {layer.experts, normed_, reinterpret_cast<int32_t*>(ids_), answers_, num_tokens_, kTopK});
    const size_t row_bytes = kHidden * DTypeSize(backend_->compute_dtype());
    std::vector<const std::byte*> answers;
    for (int64_t r = 0; r < num_tokens_ * kTopK; ++r) {
      answers.push_back(answers_ + static_cast<size_t>(r) * row_bytes);
    }
    Combine(answers);
  }
  backend_->Copy(hidden_, result_, static_cast<size_t>(num_tokens_ * kHidden) * sizeof(float));
  return backend_->Finish();
}

std::vector<float> LayersUnderTest::HiddenStates() const {
  const auto* const result = reinterpret_cast<const float*>(result_);
  return std::vector<float>(result, result + num_tokens_ * kHidden);
}

void LayersUnderTest::Embed() {
  const TensorView table = {"table", DType::kF32, {kVocabSize, kHidden}, table_};
  std::vector<int32_t> token_ids;
  for (int64_t t = 0; t < num_tokens_; ++t) {
    token_ids.push_back(static_cast<int32_t>(t * 7 % kVocabSize));
  }
  backend_->EmbedTokens({&table, token_ids.data(), reinterpret_cast<float*>(hidden_), num_tokens_});
}

void LayersUnderTest::Normalise() {
  RmsNormArgs norm;
  norm.input = reinterpret_cast<const float*>(hidden_);
  norm.weight = reinterpret_cast<const float*>(norm_);
  norm.output = normed_;
  norm.output_dtype = backend_->compute_dtype();
  norm.num_tokens = num_tokens_;
  norm.hidden_size = kHidden;
  backend_->RmsNorm(norm);
}

void LayersUnderTest::Attend(const Layer& layer, const std::vector<SequenceRows>& sequences) {
  Normalise();
  auto* const qkv = reinterpret_cast<float*>(qkv_);
  backend_->MatMul({normed_, layer.qkv.get(), qkv, num_tokens_});
  RopeAndCacheArgs rope;
  rope.qkv = qkv;
  rope.num_heads = kHeads;
  rope.cache = layer.cache;
  rope.sequences = sequences;
  rope.num_tokens = num_tokens_;
  backend_->RopeAndCache(rope);
  PagedAttentionArgs attention;
  attention.qkv = qkv;
  attention.num_heads = kHeads;
  attention.cache = layer.cache;
  attention.sequences = sequences;
  attention.num_tokens = num_tokens_;
  attention.output = attended_;
  attention.output_dtype = backend_->compute_dtype();
  backend_->PagedAttention(attention);
  MatMulArgs output = {attended_, layer.output.get(), reinterpret_cast<float*>(hidden_),
                       num_tokens_};
  output.accumulate = true;
  backend_->MatMul(output);
}

void LayersUnderTest::Route(const Layer& layer) {
  Normalise();
  auto* const logits = reinterpret_cast<float*>(logits_);
  backend_->MatMul({normed_, layer.router.get(), logits, num_tokens_});
  backend_->RouteTopK({logits, reinterpret_cast<int32_t*>(ids_), reinterpret_cast<float*>(gating_),
                       num_tokens_, kExperts, kTopK});
}

absl::Status LayersUnderTest::SendToExperts(const Layer& layer) {
  const size_t row_bytes = kHidden * DTypeSize(backend_->compute_dtype());
  backend_->Copy(normed_, sent_, static_cast<size_t>(num_tokens_) * row_bytes);
  if (const absl::Status finished = backend_->Finish(); !finished.ok()) return finished;
  // Rows as they would come off the wire: in no memory of the backend.
  const std::vector<std::byte> received(sent_,
                                        sent_ + static_cast<size_t>(num_tokens_) * row_bytes);
  const auto* const ids = reinterpret_cast<const int32_t*>(ids_);
  std::vector<std::vector<const std::byte*>> rows(kExperts);
  std::vector<const std::byte*> answers(static_cast<size_t>(num_tokens_ * kTopK));
  std::vector<ExpertRows> groups;
  std::byte* output = answers_;
  for (size_t e = 0; e < kExperts; ++e) {
    ExpertRows group = {layer.experts[e], {}, output};
    for (size_t pair = 0; pair < answers.size(); ++pair) {
      if (ids[pair] != static_cast<int32_t>(e)) continue;
      rows[e].push_back(received.data() + pair / kTopK * row_bytes);
      answers[pair] = output;
      output += row_bytes;
    }
    group.input = rows[e];
    groups.push_back(group);
  }
  backend_->ExpertFfn({groups});
  if (const absl::Status finished = backend_->Finish(); !finished.ok()) return finished;
  Combine(answers);
  return absl::OkStatus();
}

void LayersUnderTest::Combine(const std::vector<const std::byte*>& answers) {
  backend_->CombineExperts(
      {answers.data(), backend_->compute_dtype(), reinterpret_cast<const float*>(gating_),
       reinterpret_cast<float*>(hidden_), nullptr, num_tokens_, kTopK, kHidden});
}

}  // namespace tramontane
