// Where the operations run: the seam between the model code and CPU, reference and CUDA kernels.
#ifndef TRAMONTANE_KERNELS_BACKEND_H_
#define TRAMONTANE_KERNELS_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/buffer.h"
#include "kernels/embedding_table.h"
#include "kernels/packed_matrix.h"
#include "model/dtype.h"
#include "model/tensor_view.h"

namespace tramontane {

class ThreadPool;
struct EmbedTokensArgs;
struct RmsNormArgs;
struct MatMulArgs;
struct RopeAndCacheArgs;
struct PagedAttentionArgs;
struct RouteTopKArgs;
struct ExpertFfnArgs;
struct RoutedExpertsArgs;
struct CombineExpertsArgs;
struct ArgMaxArgs;
struct SampleTokensArgs;

// One instance per worker. Operations of one instance are called from one thread at a time; each
// operation's contract is in the header that its Args come from.
//
// Operations are queued and run in the order of the calls; `Finish` waits for them. The backends of
// the CPU run each within its call. What an operation touches:
// - Lists in the host's memory (token ids, sequences and page tables, groups, lists of pointers to
//   rows, how tokens are sampled) are read before the call returns.
// - Rows that lists point to may lie anywhere. In memory of this backend they are read when the
//   operation runs; elsewhere, before the call returns.
// - All else is memory of this backend, and stays as it is until the operation has run.
// Errors of queued operations come from `Finish`.
class Backend {
 public:
  virtual ~Backend() = default;

  // Names everything that decides the bits of a result: "reference", "cpu-avx512_bf16", "cpu-avx2",
  // "cuda-sm_90", …
  virtual std::string_view name() const = 0;
  // Dtype of weights and of the activations that enter a matrix product: kBF16 or kF32.
  virtual DType compute_dtype() const = 0;
  // Whether the host may touch what `Allocate` gives; then operations run within their calls.
  virtual bool host_sees_memory() const { return true; }
  // Bytes that `Allocate` can still give; absent: whatever memory the host has. INTERNAL where the
  // device does not say; it has `failed` then.
  virtual absl::StatusOr<std::optional<int64_t>> FreeBytes() { return std::nullopt; }

  // Memory that operations reach fastest. The host touches none of it where the operations run on a
  // device; there, `Copy` fills it. RESOURCE_EXHAUSTED where there is not enough.
  virtual absl::StatusOr<Buffer> Allocate(size_t num_bytes) = 0;
  // Memory that operations and the host both touch, the host not between an operation's call and
  // `Finish`. For what is small, or passes once: ids, logits that are read, rows of the expert hop.
  virtual absl::StatusOr<Buffer> AllocateShared(size_t num_bytes) { return Allocate(num_bytes); }

  // Waits until all queued operations have run and the host sees what they wrote. INTERNAL where
  // one of them failed: from then on nothing this backend computes is good.
  virtual absl::Status Finish() { return absl::OkStatus(); }
  // Whether one has failed so. From any thread.
  virtual bool failed() const { return false; }

  // Threads of this process for what is no operation, such as sampling; null: the caller's alone.
  virtual ThreadPool* host_threads() { return nullptr; }

  // Packs matrices [out_i, in_features] stacked along their rows into one, in the compute dtype
  // (bf16: rounded to nearest even). The views are in the host's memory and are read before the
  // call returns. RESOURCE_EXHAUSTED where memory runs out.
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(
      std::span<const TensorView> stacked) = 0;
  virtual absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                                   const TensorView& w3,
                                                                   const TensorView& w2) = 0;
  // The table where EmbedTokens can read it: in place, or a copy. RESOURCE_EXHAUSTED likewise.
  virtual absl::StatusOr<EmbeddingTable> PlaceEmbedding(const TensorView& embedding) {
    return EmbeddingTable{embedding, Buffer()};
  }

  // An operation: `num_bytes` from one place in memory of this backend to another; they do not
  // overlap.
  virtual void Copy(const void* from, void* to, size_t num_bytes) {
    if (num_bytes > 0) std::memcpy(to, from, num_bytes);
  }
  virtual void EmbedTokens(const EmbedTokensArgs& args) = 0;
  virtual void RmsNorm(const RmsNormArgs& args) = 0;
  virtual void MatMul(const MatMulArgs& args) = 0;
  virtual void RopeAndCache(const RopeAndCacheArgs& args) = 0;
  virtual void PagedAttention(const PagedAttentionArgs& args) = 0;
  virtual void RouteTopK(const RouteTopKArgs& args) = 0;
  virtual void ExpertFfn(const ExpertFfnArgs& args) = 0;
  // By ExpertFfn, where the host sees memory.
  virtual void RoutedExperts(const RoutedExpertsArgs& args);
  virtual void CombineExperts(const CombineExpertsArgs& args) = 0;
  // By the calling thread, where the host sees memory.
  virtual void ArgMax(const ArgMaxArgs& args);
  virtual void SampleTokens(const SampleTokensArgs& args);
};

// Plain float32 loops on one thread; the oracle. In bf16 mode it rounds where the contracts say.
std::unique_ptr<Backend> CreateReferenceBackend(DType compute_dtype);

struct CpuBackendOptions {
  DType compute_dtype = DType::kBF16;
  int num_threads = 0;  // 0: the processors this process may run on
  // "" picks the widest the machine has; else "avx512_bf16", "avx512", "avx2" or "portable".
  std::string isa;
};

// INVALID_ARGUMENT for an unknown isa, FAILED_PRECONDITION for one that this machine lacks.
absl::StatusOr<std::unique_ptr<Backend>> CreateCpuBackend(const CpuBackendOptions& options);

struct CudaBackendOptions {
  DType compute_dtype = DType::kBF16;
  int device = 0;  // as the CUDA runtime numbers them, from 0
  // What operations hold at once. It is taken whole at an operation's first use, after which
  // nothing more is allocated; what is larger is done a part after the other. No bit depends on it.
  int64_t max_rows = 4096;                        // between the products of experts
  int64_t max_partial_bytes = int64_t{64} << 20;  // of attention over a context cut into splits
  // Pinned, for lists and for rows of the host, until Finish. Where it does not do, it doubles.
  int64_t staging_bytes = int64_t{64} << 20;
  // What comes again and again is launched as CUDA graphs (docs/kernels.md), of which so many are
  // kept. No bit depends on it. Operations may then start as late as in Finish, so that memory must
  // not be freed before it.
  bool graphs = false;
  int max_graphs = 256;      // 0: none
  int num_host_threads = 0;  // of host_threads(); 0: the processors this process may run on
};

// FAILED_PRECONDITION where this build has no CUDA, the machine no device, the driver is too old,
// or the device's compute capability is below 8.0; INVALID_ARGUMENT for a device or dtype that is
// not there and for a bound below 1. Each says what was expected, what was found, and what to
// change.
absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_BACKEND_H_
