#include "tests/kernels/host_memory_backend.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/arg_max.h"
#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "kernels/sample_tokens.h"
#include "model/check.h"

namespace tramontane {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
  TRAMONTANE_CHECK(result.ok());
  return *std::move(result);
}

// The memory of one operation.
class Places {
 public:
  Places(Backend* backend, bool shared) : backend_(backend), shared_(shared) {}

  // Where the backend finds the `count` elements at `host`; null for null.
  template <typename T>
  T* Place(T* host, int64_t count, size_t element_bytes = sizeof(T)) {
    const size_t size = static_cast<size_t>(count) * element_bytes;
    if (host == nullptr || size == 0) return host;
    Placed placed = {const_cast<void*>(static_cast<const void*>(host)), size, {}, {}};
    placed.staging = OrDie(backend_->AllocateShared(size));
    std::memcpy(placed.staging.bytes(), host, size);
    if (!shared_) {
      placed.own = OrDie(backend_->Allocate(size));
      backend_->Copy(placed.staging.bytes(), placed.own.bytes(), size);
    }
    placed_.push_back(std::move(placed));
    return reinterpret_cast<T*>(shared_ ? placed_.back().staging.bytes()
                                        : placed_.back().own.bytes());
  }

  // Waits for the operation and gives the host everything back.
  void Return() {
    for (Placed& placed : placed_) {
      if (!shared_) backend_->Copy(placed.own.bytes(), placed.staging.bytes(), placed.size);
    }
    const absl::Status finished = backend_->Finish();
    if (!finished.ok()) std::fprintf(stderr, "%s\n", std::string(finished.message()).c_str());
    TRAMONTANE_CHECK(finished.ok());
    for (Placed& placed : placed_) {
      if (std::memcmp(placed.host, placed.staging.bytes(), placed.size) == 0) continue;
      std::memcpy(placed.host, placed.staging.bytes(), placed.size);
    }
  }

 private:
  struct Placed {
    void* host;
    size_t size;
    Buffer staging, own;
  };
  Backend* const backend_;
  const bool shared_;
  std::vector<Placed> placed_;
};

class HostMemoryBackend final : public Backend {
 public:
  explicit HostMemoryBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string_view name() const override { return inner_->name(); }
  DType compute_dtype() const override { return inner_->compute_dtype(); }
  absl::StatusOr<Buffer> Allocate(size_t num_bytes) override { return Buffer::Allocate(num_bytes); }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> stacked) override {
    return inner_->Pack(stacked);
  }
  absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                           const TensorView& w3,
                                                           const TensorView& w2) override {
    return inner_->PackExpert(w1, w3, w2);
  }

  void EmbedTokens(const EmbedTokensArgs& args) override {
    const EmbeddingTable table = OrDie(inner_->PlaceEmbedding(*args.embedding));
    Places places = NewPlaces();
    EmbedTokensArgs placed = args;
    placed.embedding = &table.view;
    placed.hidden_states =
        places.Place(args.hidden_states, args.num_tokens * args.embedding->shape[1]);
    inner_->EmbedTokens(placed);
    places.Return();
  }

  void RmsNorm(const RmsNormArgs& args) override {
    Places places = NewPlaces();
    RmsNormArgs placed = args;
    const int64_t count = args.num_tokens * args.hidden_size;
    placed.input = places.Place(args.input, count);
    placed.weight = places.Place(args.weight, args.hidden_size);
    placed.output = PlaceElements(places, args.output, count, args.output_dtype);
    inner_->RmsNorm(placed);
    places.Return();
  }

  void MatMul(const MatMulArgs& args) override {
    Places places = NewPlaces();
    MatMulArgs placed = args;
    placed.input = PlaceElements(places, const_cast<void*>(args.input),
                                 args.num_rows * args.weight->in_features(), compute_dtype());
    placed.output = places.Place(args.output, args.num_rows * args.weight->out_features());
    inner_->MatMul(placed);
    places.Return();
  }

  void RopeAndCache(const RopeAndCacheArgs& args) override {
    Places places = NewPlaces();
    RopeAndCacheArgs placed = args;
    placed.cache = PlaceCache(places, args.cache, args.sequences);
    placed.qkv = places.Place(args.qkv, args.num_tokens * RowSize(args.num_heads, args.cache));
    inner_->RopeAndCache(placed);
    places.Return();
  }

  void PagedAttention(const PagedAttentionArgs& args) override {
    Places places = NewPlaces();
    PagedAttentionArgs placed = args;
    placed.cache = PlaceCache(places, args.cache, args.sequences);
    placed.qkv = places.Place(args.qkv, args.num_tokens * RowSize(args.num_heads, args.cache));
    placed.output =
        PlaceElements(places, args.output, args.num_tokens * args.num_heads * args.cache.head_dim,
                      args.output_dtype);
    inner_->PagedAttention(placed);
    places.Return();
  }

  void RouteTopK(const RouteTopKArgs& args) override {
    Places places = NewPlaces();
    RouteTopKArgs placed = args;
    placed.router_logits = places.Place(args.router_logits, args.num_tokens * args.num_experts);
    placed.topk_expert_ids = places.Place(args.topk_expert_ids, args.num_tokens * args.top_k);
    placed.gating_weights = places.Place(args.gating_weights, args.num_tokens * args.top_k);
    inner_->RouteTopK(placed);
    places.Return();
  }

  // Rows go to the backend's memory and stay the host's in turn: both are allowed.
  void ExpertFfn(const ExpertFfnArgs& args) override {
    Places places = NewPlaces();
    std::vector<ExpertRows> groups(args.groups.begin(), args.groups.end());
    std::vector<std::vector<const std::byte*>> rows(groups.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      const auto row_bytes = static_cast<int64_t>(
          static_cast<size_t>(groups[g].expert->hidden_size()) * DTypeSize(compute_dtype()));
      for (const std::byte* row : groups[g].input) {
        rows[g].push_back(rows[g].size() % 2 == 0 ? places.Place(row, row_bytes) : row);
      }
      groups[g].input = rows[g];
      groups[g].output =
          places.Place(groups[g].output, row_bytes * static_cast<int64_t>(rows[g].size()));
    }
    inner_->ExpertFfn({groups});
    places.Return();
  }

  void RoutedExperts(const RoutedExpertsArgs& args) override {
    Places places = NewPlaces();
    RoutedExpertsArgs placed = args;
    const int64_t hidden_size = args.num_tokens == 0 ? 0 : args.experts.front()->hidden_size();
    const size_t element_bytes = DTypeSize(compute_dtype());
    placed.input = places.Place(args.input, args.num_tokens * hidden_size, element_bytes);
    placed.topk_expert_ids = places.Place(args.topk_expert_ids, args.num_tokens * args.top_k);
    placed.output =
        places.Place(args.output, args.num_tokens * args.top_k * hidden_size, element_bytes);
    inner_->RoutedExperts(placed);
    places.Return();
  }

  void CombineExperts(const CombineExpertsArgs& args) override {
    Places places = NewPlaces();
    CombineExpertsArgs placed = args;
    const auto row_bytes =
        static_cast<int64_t>(static_cast<size_t>(args.hidden_size) * DTypeSize(args.row_dtype));
    std::vector<const std::byte*> rows;
    for (int64_t r = 0; r < args.num_tokens * args.top_k; ++r) {
      rows.push_back(r % 2 == 0 ? places.Place(args.expert_rows[r], row_bytes)
                                : args.expert_rows[r]);
    }
    placed.expert_rows = rows.data();
    placed.gating_weights = places.Place(args.gating_weights, args.num_tokens * args.top_k);
    placed.residual = places.Place(args.residual, args.num_tokens * args.hidden_size);
    placed.moe_output = places.Place(args.moe_output, args.num_tokens * args.hidden_size);
    inner_->CombineExperts(placed);
    places.Return();
  }

  void SampleTokens(const SampleTokensArgs& args) override {
    RunOnLogits(args, &Backend::SampleTokens);
  }
  void ArgMax(const ArgMaxArgs& args) override { RunOnLogits(args, &Backend::ArgMax); }

 private:
  // An operation from rows of logits to an id each.
  template <typename Args>
  void RunOnLogits(const Args& args, void (Backend::*operation)(const Args&)) {
    Places places = NewPlaces();
    Args placed = args;
    placed.rows = places.Place(args.rows, args.num_rows * args.num_columns);
    placed.ids = places.Place(args.ids, args.num_rows);
    ((*inner_).*operation)(placed);
    places.Return();
  }

  Places NewPlaces() { return Places(inner_.get(), ++num_operations_ % 2 == 0); }

  static void* PlaceElements(Places& places, void* host, int64_t count, DType dtype) {
    return places.Place(static_cast<std::byte*>(host), count, DTypeSize(dtype));
  }

  static int64_t RowSize(int64_t num_heads, const KvLayer& cache) {
    return (num_heads + 2 * cache.num_kv_heads) * cache.head_dim;
  }

  // All blocks up to the last that a page table names.
  static KvLayer PlaceCache(Places& places, const KvLayer& cache,
                            std::span<const SequenceRows> sequences) {
    int64_t num_blocks = 0;
    for (const SequenceRows& sequence : sequences) {
      for (const int32_t block : sequence.page_table) {
        num_blocks = std::max<int64_t>(num_blocks, block + 1);
      }
    }
    const int64_t count = num_blocks * cache.num_kv_heads * cache.block_size * cache.head_dim;
    KvLayer placed = cache;
    placed.keys = places.Place(cache.keys, count, DTypeSize(cache.dtype));
    placed.values = places.Place(cache.values, count, DTypeSize(cache.dtype));
    return placed;
  }

  const std::unique_ptr<Backend> inner_;
  uint64_t num_operations_ = 0;
};

}  // namespace

std::unique_ptr<Backend> WithHostMemory(std::unique_ptr<Backend> inner) {
  return std::make_unique<HostMemoryBackend>(std::move(inner));
}

}  // namespace tramontane
