#include "kernels/backend.h"

#include <cuda_runtime.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/weight_stream.h"
#include "kernels/thread_pool.h"

namespace tramontane {
namespace {

// Read by the runtime when it is first called. Kernels loaded at their first launch would take
// memory, and wait for the device, in the middle of a step. Set before main, as other threads may
// read the environment later.
[[maybe_unused]] const int kEagerLoading = setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0);

// The oldest that has bf16 tensor cores and asynchronous copies to shared memory.
constexpr int kOldestMajor = 8;

// Code for older devices alone would run on a 9.0, too, but knows nothing of what follows.
#ifdef TRAMONTANE_CUDA_BELOW_90
constexpr bool kBuiltFor90 = false;
#else
constexpr bool kBuiltFor90 = true;
#endif

// Machine code with warpgroups is for these devices alone.
bool HasWarpgroups(const cudaDeviceProp& properties) {
  return kBuiltFor90 && properties.major == 9 && properties.minor == 0;
}

// From here on a kernel can wait for the one ahead of it by itself.
constexpr int kEarlyStartsMajor = 9;

// More is copied to the host by the device's copy engine, beside its kernels.
constexpr size_t kMaxMovedBytes = size_t{1} << 20;

class CudaBackend final : public Backend {
 public:
  CudaBackend(const CudaBackendOptions& options, const cudaDeviceProp& properties,
              cudaStream_t stream)
      : context_({options.device, options.compute_dtype, options.max_rows,
                  options.max_partial_bytes, options.staging_bytes, options.graphs,
                  options.max_graphs, kBuiltFor90 && properties.major >= kEarlyStartsMajor,
                  HasWarpgroups(properties), properties.multiProcessorCount},
                 stream),
        stream_(context_),
        host_threads_(options.num_host_threads),
        name_(absl::StrCat("cuda-sm_", properties.major, properties.minor,
                           options.compute_dtype == DType::kF32 ? "-f32" : "")) {}

  ~CudaBackend() override { context_.Use(); }  // what follows frees this device's memory

  std::string_view name() const override { return name_; }
  DType compute_dtype() const override { return context_.compute_dtype; }
  bool host_sees_memory() const override { return false; }
  absl::StatusOr<std::optional<int64_t>> FreeBytes() override {
    context_.Use();
    size_t free_bytes = 0, total_bytes = 0;
    const cudaError_t error = cudaMemGetInfo(&free_bytes, &total_bytes);
    if (error == cudaSuccess) return static_cast<int64_t>(free_bytes);
    (void)cudaGetLastError();
    return Fail("asking for its free memory", error);
  }

  absl::StatusOr<Buffer> Allocate(size_t num_bytes) override {
    context_.Use();
    return Noted(cuda::AllocateDevice(num_bytes));
  }
  absl::StatusOr<Buffer> AllocateShared(size_t num_bytes) override {
    context_.Use();
    return Noted(cuda::AllocatePinned(num_bytes));
  }

  absl::Status Finish() override {
    context_.Use();
    context_.Finish();
    if (!context_.failed()) return absl::OkStatus();
    return Fail(context_.failed_call(), context_.error());
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> stacked) override {
    context_.Use();
    return cuda::DeviceMatrix::Stack(stream_, stacked);
  }
  absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                           const TensorView& w3,
                                                           const TensorView& w2) override {
    context_.Use();
    return cuda::DeviceExpert::Make(stream_, w1, w3, w2);
  }
  absl::StatusOr<EmbeddingTable> PlaceEmbedding(const TensorView& embedding) override {
    context_.Use();
    absl::StatusOr<Buffer> memory = cuda::AllocateDevice(embedding.num_bytes());
    if (!memory.ok()) return memory.status();
    const absl::Status copied = stream_.CopyBytes(embedding, memory->bytes());
    if (!copied.ok()) return copied;
    EmbeddingTable table{embedding, *std::move(memory)};
    table.view.bytes = table.memory.bytes();
    return table;
  }

  void Copy(const void* from, void* to, size_t num_bytes) override {
    context_.Use();
    if (num_bytes == 0) return;
    // A kernel starts while the one ahead still runs; a copy, after it. What is copied to the
    // device may be read before a kernel ahead has ended (Context::Queue).
    if (num_bytes <= kMaxMovedBytes && cuda::IsPinnedMemory(to) && cuda::IsKernelMemory(from)) {
      cuda::MoveBytes(context_, static_cast<const std::byte*>(from), static_cast<std::byte*>(to),
                      static_cast<int64_t>(num_bytes));
      return;
    }
    context_.QueueCopy("copying", to, from, num_bytes);
  }

  bool failed() const override { return failed_; }
  ThreadPool* host_threads() override { return &host_threads_; }

  void EmbedTokens(const EmbedTokensArgs& args) override { Run(cuda::EmbedTokens, args); }
  void RmsNorm(const RmsNormArgs& args) override { Run(cuda::RmsNorm, args); }
  void MatMul(const MatMulArgs& args) override { Run(cuda::MatMul, args); }
  void RopeAndCache(const RopeAndCacheArgs& args) override { Run(cuda::RopeAndCache, args); }
  void PagedAttention(const PagedAttentionArgs& args) override { Run(cuda::PagedAttention, args); }
  void RouteTopK(const RouteTopKArgs& args) override { Run(cuda::RouteTopK, args); }
  void ExpertFfn(const ExpertFfnArgs& args) override { Run(cuda::ExpertFfn, args); }
  void RoutedExperts(const RoutedExpertsArgs& args) override { Run(cuda::RoutedExperts, args); }
  void CombineExperts(const CombineExpertsArgs& args) override { Run(cuda::CombineExperts, args); }
  void ArgMax(const ArgMaxArgs& args) override { Run(cuda::ArgMax, args); }
  void SampleTokens(const SampleTokensArgs& args) override { Run(cuda::SampleTokens, args); }

 private:
  absl::Status Fail(const char* call, cudaError_t error) {
    failed_ = true;
    return absl::InternalError(absl::StrCat(
        "CUDA device ", context_.device, ": ", call, ": ", cudaGetErrorString(error),
        error == cudaErrorMemoryAllocation
            ? "; leave more device memory free: host fewer experts on it or hold fewer tokens in "
              "its KV cache"
            : "; nothing more is computed on it: restart this process, and look at the device's "
              "health if it happens again"));
  }

  // A device that was lost while nothing ran may be asked for memory before anything else.
  absl::StatusOr<Buffer> Noted(absl::StatusOr<Buffer> allocated) {
    if (absl::IsInternal(allocated.status())) failed_ = true;
    return allocated;
  }

  template <typename Args>
  void Run(void (*operation)(cuda::Context&, const Args&), const Args& args) {
    context_.Use();
    operation(context_, args);
  }

  cuda::Context context_;
  cuda::WeightStream stream_;
  ThreadPool host_threads_;
  const std::string name_;
  std::atomic<bool> failed_{false};
};

absl::Status CudaError(const char* call, cudaError_t error) {
  (void)cudaGetLastError();
  return absl::InternalError(absl::StrCat(call, ": ", cudaGetErrorString(error)));
}

// "13.0" of 13000.
std::string Version(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

absl::StatusOr<int> CountDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  (void)cudaGetLastError();
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (error == cudaErrorInsufficientDriver && driver > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected a driver for CUDA ", Version(runtime), " or later, found one for ",
                     Version(driver), "; update the driver, or compute on the CPU"));
  }
  if (error == cudaSuccess || error == cudaErrorNoDevice || driver == 0) {
    return absl::FailedPreconditionError(
        "expected a CUDA device, found none: this build has CUDA, this machine no device or no "
        "driver; run it where there is one, or compute on the CPU");
  }
  return CudaError("looking for CUDA devices", error);
}

// Fails for a device that is too old.
absl::StatusOr<cudaDeviceProp> Properties(int device) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error != cudaSuccess) return CudaError("asking for the device's properties", error);
  if (properties.major >= kOldestMajor) return properties;
  return absl::FailedPreconditionError(
      absl::StrCat("expected a device of compute capability ", kOldestMajor, ".0 or later, found ",
                   properties.major, ".", properties.minor, " (", properties.name, ", device ",
                   device, "); choose another device, or compute on the CPU"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaBackendOptions& options) {
  if (options.compute_dtype == DType::kF16) {
    return absl::InvalidArgumentError(
        "expected the compute dtype bf16 or f32, found f16; choose one of those");
  }
  if (options.max_rows < 1 || options.max_partial_bytes < 1 || options.staging_bytes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected max_rows, max_partial_bytes and staging_bytes of 1 or more, found ",
                     options.max_rows, ", ", options.max_partial_bytes, " and ",
                     options.staging_bytes, "; leave them as they are"));
  }
  if (options.max_graphs < 0 || options.num_host_threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected max_graphs and num_host_threads of 0 or more, found ",
                     options.max_graphs, " and ", options.num_host_threads));
  }
  const absl::StatusOr<int> count = CountDevices();
  if (!count.ok()) return count.status();
  if (options.device < 0 || options.device >= *count) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a device from 0 to ", *count - 1, ", found ", options.device));
  }
  const absl::StatusOr<cudaDeviceProp> properties = Properties(options.device);
  if (!properties.ok()) return properties.status();
  cudaError_t error = cudaSetDevice(options.device);
  cudaStream_t stream = nullptr;
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return CudaError("preparing the CUDA device", error);
  return std::make_unique<CudaBackend>(options, *properties, stream);
}

}  // namespace tramontane
