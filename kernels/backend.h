// Where the operations run: the seam between the model code and CPU, reference and CUDA kernels.
#ifndef TRAMONTANE_KERNELS_BACKEND_H_
#define TRAMONTANE_KERNELS_BACKEND_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/buffer.h"
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
struct CombineExpertsArgs;

// One instance per worker. Operations of one instance are called from one thread at a time; each
// operation's contract is in the header that its Args come from. Pointers in Args are to memory of
// this backend (`Allocate`, or host memory for the CPU backends).
class Backend {
 public:
  virtual ~Backend() = default;

  // Names everything that decides the bits of a result: "reference", "cpu-avx512_bf16", "cpu-avx2",
  // …
  virtual std::string_view name() const = 0;
  // Dtype of weights and of the activations that enter a matrix product: kBF16 or kF32.
  virtual DType compute_dtype() const = 0;

  virtual absl::StatusOr<Buffer> Allocate(size_t num_bytes) = 0;

  // Threads of this process for what is no operation, such as sampling; null: the caller's alone.
  virtual ThreadPool* host_threads() { return nullptr; }

  // Packs matrices [out_i, in_features] stacked along their rows into one, in the compute dtype
  // (bf16: rounded to nearest even). RESOURCE_EXHAUSTED where memory runs out.
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(
      std::span<const TensorView> stacked) = 0;
  virtual absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                                   const TensorView& w3,
                                                                   const TensorView& w2) = 0;

  virtual void EmbedTokens(const EmbedTokensArgs& args) = 0;
  virtual void RmsNorm(const RmsNormArgs& args) = 0;
  virtual void MatMul(const MatMulArgs& args) = 0;
  virtual void RopeAndCache(const RopeAndCacheArgs& args) = 0;
  virtual void PagedAttention(const PagedAttentionArgs& args) = 0;
  virtual void RouteTopK(const RouteTopKArgs& args) = 0;
  virtual void ExpertFfn(const ExpertFfnArgs& args) = 0;
  virtual void CombineExperts(const CombineExpertsArgs& args) = 0;
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

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_BACKEND_H_
