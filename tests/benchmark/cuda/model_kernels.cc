#include "tests/benchmark/cuda/model_kernels.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "kernels/combine_experts.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "kernels/sample_tokens.h"

namespace tramontane {
namespace {

constexpr int64_t kBlockSize = 16;
constexpr int64_t kCacheTokens = 131072;  // 512 MiB of keys and values
constexpr int64_t kLargeBytes = int64_t{4} << 30;
constexpr size_t kCopies = 6;
static_assert(2 * ModelKernels::kDistinctLayers == kCopies);

void RequireOk(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> result) {
  RequireOk(result.status());
  return *std::move(result);
}

// Uniform in [-scale, scale).
std::vector<std::byte> RandomElements(int64_t count, DType dtype, float scale) {
  std::minstd_rand random(static_cast<uint32_t>(count));
  std::vector<std::byte> bytes(static_cast<size_t>(count) * DTypeSize(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const float value = scale * (static_cast<float>(random() % 65536) * 0x1p-15f - 1.0f);
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + i * 4, &value, 4);
    } else {
      const BFloat16 rounded = ToBFloat16(value);
      std::memcpy(bytes.data() + i * 2, &rounded.bits, 2);
    }
  }
  return bytes;
}

// A matrix whose products with rows of about one are of about one. Other shapes read the same
// bytes.
TensorView Weights(const std::vector<std::byte>& bytes, int64_t out, int64_t in) {
  return {"random", DType::kBF16, {out, in}, bytes.data()};
}

}  // namespace

ModelKernels::ModelKernels(Backend* backend, int64_t max_rows) : backend_(backend) {
  const auto bytes = RandomElements(kVocab * kHidden, DType::kBF16, 1.7f / 64);
  const std::pair<int64_t, size_t> kMatrices[] = {{kQkv, kCopies}, {kHidden, kCopies}, {kVocab, 2}};
  for (const auto& [out, copies] : kMatrices) {
    matrices_.emplace_back();
    const TensorView view = tramontane::Weights(bytes, out, kHidden);
    for (size_t c = 0; c < copies; ++c)
      matrices_.back().push_back(Require(backend->Pack({&view, 1})));
  }
  const TensorView up = tramontane::Weights(bytes, kInner, kHidden);
  const TensorView down = tramontane::Weights(bytes, kHidden, kInner);
  for (int64_t e = 0; e < kExperts; ++e) {
    experts_.push_back(Require(backend->PackExpert(up, up, down)));
  }
  rows_ = Random(max_rows * kHidden, DType::kF32);
  normed_ = Random(max_rows * kHidden, DType::kBF16);
  qkv_ = Random(max_rows * kQkv, DType::kF32);
  logits_ = Random(std::max<int64_t>(max_rows * kQkv, 64 * kVocab), DType::kF32);
  weights_ = Random(kHidden, DType::kF32);
  answers_ = Random(2 * max_rows * kHidden, DType::kBF16);
  expert_ids_ = Require(backend->Allocate(static_cast<size_t>(max_rows) * 2 * sizeof(int32_t)));
  std::vector<int32_t> routed_ids;
  for (int64_t pair = 0; pair < 2 * max_rows; ++pair) {
    routed_ids.push_back(static_cast<int32_t>(pair % kExperts));
  }
  routed_ids_ = OnDevice(std::as_bytes(std::span(routed_ids)));
  gating_ = Random(max_rows * 2, DType::kF32);
  keys_ = Random(kCacheTokens * kKvHeads * kHeadDim, DType::kBF16);
  values_ = Random(kCacheTokens * kKvHeads * kHeadDim, DType::kBF16);
  large_ = Require(backend->Allocate(static_cast<size_t>(kLargeBytes)));
  // Scattered, as a cache in use has them.
  for (int64_t b = 0; b < kCacheTokens / kBlockSize; ++b) {
    pages_.push_back(static_cast<int32_t>(b * 2731 % (kCacheTokens / kBlockSize)));
  }
  RequireOk(backend->Finish());
}

Buffer ModelKernels::Random(int64_t count, DType dtype) {
  // Large buffers repeat 16 Mi elements.
  const auto bytes = RandomElements(std::min<int64_t>(count, 1 << 24), dtype, 1.0f);
  const Buffer some = OnDevice(bytes);
  Buffer buffer = Require(backend_->Allocate(static_cast<size_t>(count) * DTypeSize(dtype)));
  for (size_t at = 0; at < buffer.size(); at += some.size()) {
    backend_->Copy(some.bytes(), buffer.bytes() + at, std::min(some.size(), buffer.size() - at));
  }
  RequireOk(backend_->Finish());
  return buffer;
}

Buffer ModelKernels::OnDevice(std::span<const std::byte> bytes) {
  Buffer staging = Require(backend_->AllocateShared(bytes.size()));
  std::memcpy(staging.bytes(), bytes.data(), bytes.size());
  Buffer buffer = Require(backend_->Allocate(bytes.size()));
  backend_->Copy(staging.bytes(), buffer.bytes(), bytes.size());
  RequireOk(backend_->Finish());
  return buffer;
}

int64_t ModelKernels::Weights(Matrix matrix) {
  return (matrix == Matrix::kQkv ? kQkv : matrix == Matrix::kOutput ? kHidden : kVocab) * kHidden;
}

void ModelKernels::MatMul(Matrix matrix, int64_t num_rows) {
  const auto& copies = matrices_[static_cast<size_t>(matrix)];
  MatMulArgs args;
  args.input = normed_.bytes();
  args.weight = copies[++turn_ % copies.size()].get();
  args.output = logits_.as<float>();
  args.num_rows = num_rows;
  backend_->MatMul(args);
}

void ModelKernels::ExpertFfn(int64_t num_experts, int64_t rows_of_each) {
  std::vector<std::vector<const std::byte*>> rows(static_cast<size_t>(num_experts));
  std::vector<ExpertRows> groups;
  std::byte* output = answers_.bytes();
  for (int64_t e = 0; e < num_experts; ++e) {
    auto& group = rows[static_cast<size_t>(e)];
    for (int64_t r = 0; r < rows_of_each; ++r) {
      group.push_back(normed_.bytes() + (e * rows_of_each + r) / 2 * kHidden * 2);
    }
    // In turn, so that few experts are not in the cache from the last call.
    const auto& expert = experts_[++turn_ % experts_.size()];
    groups.push_back({expert.get(), group, output});
    output += rows_of_each * kHidden * 2;
  }
  backend_->ExpertFfn({groups});
}

void ModelKernels::RoutedExperts(int64_t num_tokens) {
  std::vector<const PackedExpert*> experts;
  for (const auto& expert : experts_) experts.push_back(expert.get());
  backend_->RoutedExperts({experts, normed_.bytes(), routed_ids_.as<int32_t>(), answers_.bytes(),
                           num_tokens, /*top_k=*/2});
}

void ModelKernels::RmsNorm(int64_t num_rows) {
  RmsNormArgs args;
  args.input = rows_.as<float>();
  args.weight = weights_.as<float>();
  args.output = normed_.bytes();
  args.output_dtype = DType::kBF16;
  args.num_tokens = num_rows;
  args.hidden_size = kHidden;
  backend_->RmsNorm(args);
}

void ModelKernels::RouteTopK(int64_t num_rows) {
  RouteTopKArgs args;
  args.router_logits = rows_.as<float>();
  args.topk_expert_ids = expert_ids_.as<int32_t>();
  args.gating_weights = gating_.as<float>();
  args.num_tokens = num_rows;
  args.num_experts = kExperts;
  args.top_k = 2;
  backend_->RouteTopK(args);
}

void ModelKernels::SampleTokens(int64_t num_rows, int top_k, float top_p) {
  const std::vector<TokenSampling> sampling(static_cast<size_t>(num_rows),
                                            {uint64_t{1} << 52, 1.0f, top_k, top_p, 0.0f});
  SampleTokensArgs args;
  args.rows = logits_.as<float>();
  args.sampling = sampling.data();
  args.ids = expert_ids_.as<int32_t>();
  args.num_rows = num_rows;
  args.num_columns = kVocab;
  backend_->SampleTokens(args);
}

void ModelKernels::CombineExperts(int64_t num_rows) {
  std::vector<const std::byte*> rows;
  for (int64_t r = 0; r < 2 * num_rows; ++r) rows.push_back(answers_.bytes() + r * kHidden * 2);
  CombineExpertsArgs args;
  args.expert_rows = rows.data();
  args.row_dtype = DType::kBF16;
  args.gating_weights = gating_.as<float>();
  args.residual = logits_.as<float>();
  args.num_tokens = num_rows;
  args.top_k = 2;
  args.hidden_size = kHidden;
  backend_->CombineExperts(args);
}

KvLayer ModelKernels::Cache() const {
  return {keys_.bytes(), values_.bytes(), DType::kBF16, kKvHeads, kHeadDim, kBlockSize};
}

std::vector<SequenceRows> ModelKernels::Sequences(int64_t num_sequences, int64_t num_rows,
                                                  int64_t context) {
  std::vector<SequenceRows> sequences;
  const auto pages = static_cast<size_t>((context + kBlockSize - 1) / kBlockSize);
  for (int64_t s = 0; s < num_sequences; ++s) {
    sequences.push_back({s * num_rows, num_rows, context - num_rows,
                         std::span(pages_).subspan(static_cast<size_t>(s) * pages, pages)});
  }
  return sequences;
}

void ModelKernels::RopeAndCache(int64_t num_sequences, int64_t num_rows, int64_t context) {
  const auto sequences = Sequences(num_sequences, num_rows, context);
  RopeAndCacheArgs args;
  args.qkv = qkv_.as<float>();
  args.num_heads = kHeads;
  args.cache = Cache();
  args.sequences = sequences;
  args.num_tokens = num_sequences * num_rows;
  backend_->RopeAndCache(args);
}

void ModelKernels::PagedAttention(int64_t num_sequences, int64_t num_rows, int64_t context) {
  const auto sequences = Sequences(num_sequences, num_rows, context);
  PagedAttentionArgs args;
  args.qkv = qkv_.as<float>();
  args.num_heads = kHeads;
  args.cache = Cache();
  args.sequences = sequences;
  args.num_tokens = num_sequences * num_rows;
  args.output = normed_.bytes();
  args.output_dtype = DType::kBF16;
  backend_->PagedAttention(args);
}

void ModelKernels::AttentionLayer(int64_t num_rows, int64_t context) {
  CombineExperts(num_rows);
  RmsNorm(num_rows);
  MatMul(Matrix::kQkv, num_rows);
  RopeAndCache(num_rows, 1, context);
  PagedAttention(num_rows, 1, context);
  MatMul(Matrix::kOutput, num_rows);
  RmsNorm(num_rows);
  RouteTopK(num_rows);
}

void ModelKernels::PrefillLayer(int64_t num_rows) {
  RmsNorm(num_rows);
  MatMul(Matrix::kQkv, num_rows);
  RopeAndCache(1, num_rows, num_rows);
  PagedAttention(1, num_rows, num_rows);
  MatMul(Matrix::kOutput, num_rows);
  RmsNorm(num_rows);
  RouteTopK(num_rows);
  RoutedExperts(num_rows);
  CombineExperts(num_rows);
}

int64_t ModelKernels::CopyHalf() {
  backend_->Copy(large_.bytes(), large_.bytes() + kLargeBytes / 2, kLargeBytes / 2);
  return kLargeBytes;
}

}  // namespace tramontane
