// What the operations of one CUDA backend share: a stream, memory between kernels, the first error.
#ifndef TRAMONTANE_KERNELS_CUDA_CONTEXT_H_
#define TRAMONTANE_KERNELS_CUDA_CONTEXT_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/batch_plan.h"
#include "kernels/cuda/graphs.h"
#include "kernels/cuda/launch_list.h"
#include "kernels/cuda/scratch.h"
#include "model/dtype.h"

namespace tramontane::cuda {

// As CudaBackendOptions, which kernels' sources do not see.
struct ContextOptions {
  int device = 0;
  DType compute_dtype = DType::kBF16;
  int64_t max_rows = 0;
  int64_t max_partial_bytes = 0;
  int64_t staging_bytes = 0;
  bool graphs = false;
  int max_graphs = 0;
  // Whether a kernel may start before the one ahead of it has ended, as devices of compute
  // capability 9.0 and later can.
  bool early_starts = false;
  bool warpgroups = false;  // see warpgroup.cuh
  int num_multiprocessors = 1;
};

// Used by one thread at a time. Once an operation has failed, nothing more is queued.
class Context {
 public:
  // Takes over `stream`, of `options.device`.
  Context(const ContextOptions& options, cudaStream_t stream);
  // Drops what is listed and not submitted: the memory that it is for may be gone.
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Makes the device the calling thread's current one.
  void Use() { Check(cudaSetDevice(device), "cudaSetDevice"); }

  // Queue a kernel, or a copy between places that the device reaches. With graphs they are listed,
  // and submitted a piece of the list at a time. Nothing is queued after an error.
  void Queue(const KernelCall& call);
  void QueueCopy(const char* name, void* to, const void* from, size_t num_bytes);
  // Queues the event behind what has been queued.
  void Record(cudaEvent_t event);
  // Waits until all that has been queued has run.
  void Wait();

  bool failed() const { return error_ != cudaSuccess; }
  cudaError_t error() const { return error_; }
  const char* failed_call() const { return failed_call_; }
  // Keeps the first error, and the static string that says what failed.
  void Check(cudaError_t error, const char* call);

  // Host memory that kernels read too, aligned to 16 bytes, until the next Finish.
  std::byte* Stage(int64_t num_bytes);
  template <typename T>
  T* StageArray(int64_t count) {
    return reinterpret_cast<T*>(Stage(count * static_cast<int64_t>(sizeof(T))));
  }

  // Waits for the stream; staged memory is free again.
  void Finish();

  const int device;
  const DType compute_dtype;
  // As in CudaBackendOptions.
  const int64_t max_rows;
  const int64_t max_partial_bytes;
  const int64_t staging_bytes;
  const bool warpgroups;  // whether the device has what warpgroup.cuh is for
  const int num_multiprocessors;
  Scratch rows;         // inputs laid out for a matrix product
  Scratch activated;    // silu(w1 x) * (w3 x)
  Scratch answers;      // of experts, before they are copied out
  Scratch packed_rows;  // inputs as warpgroups read them
  Scratch routing;      // which rows go to which experts
  Scratch partials;     // of attention's splits
  BatchPlans plans;     // sequences and page tables of the last batches, on the device
  // [head_dim / 2] of float32; of the two below
  Scratch inverse_frequencies{"allocating rotary frequencies"};
  double rope_theta = 0;
  int64_t head_dim = 0;

 private:
  struct Block {
    std::byte* bytes;
    int64_t size;
    bool pinned;
  };
  void ReleaseBlocks(size_t count);  // the first
  // What is listed goes to the stream: once it is enough for a piece, or whatever it is.
  void SubmitPiece();
  void Submit();

  const bool early_starts_;
  cudaStream_t stream_;
  const std::unique_ptr<Graphs> graphs_;  // null: calls are not listed
  LaunchList list_;
  bool submitted_ = false;      // a piece since the last Finish
  bool behind_kernel_ = false;  // what was queued last is a kernel, launched by itself
  cudaError_t error_ = cudaSuccess;
  const char* failed_call_ = "";
  std::vector<Block> blocks_;  // staging; the last is being filled
  int64_t used_ = 0;           // of the last block
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_CONTEXT_H_
