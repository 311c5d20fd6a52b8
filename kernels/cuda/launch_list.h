// Kernels and copies that are to be queued, as a list: launched one by one, or as a graph's nodes.
#ifndef TRAMONTANE_KERNELS_CUDA_LAUNCH_LIST_H_
#define TRAMONTANE_KERNELS_CUDA_LAUNCH_LIST_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tramontane::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic
  // A kernel for devices with warpgroups alone, which may have more shared memory than others.
  bool warpgroups = false;
};

// A kernel and its parameters, which lie elsewhere.
struct KernelCall {
  const char* name;  // a static string, for an error's message
  const void* function;
  LaunchShape shape;
  std::span<void*> parameters;    // [num_parameters]
  std::span<const size_t> sizes;  // [num_parameters] in bytes
};

// Launches a kernel on `stream`. With `early_start`, where a kernel is ahead, it may start once
// every block of threads of that one has called LetNextStart: see Context::Queue.
cudaError_t LaunchKernel(const KernelCall& call, bool early_start, cudaStream_t stream);

// Calls in their order, with copies of their parameters. Two lists are of one shape where all but
// grids and the parameters' values is the same; for a copy, these are both ends and the size.
class LaunchList {
 public:
  void AddKernel(const KernelCall& call);
  // To and from memory that the device reaches; `num_bytes` is at least 1.
  void AddCopy(const char* name, void* to, const void* from, size_t num_bytes);
  void Clear();

  size_t size() const { return calls_.size(); }
  bool HasShapeOf(const LaunchList& other) const;
  // Of a list of the same shape: whether the call is the same to the last byte.
  bool HasCallOf(const LaunchList& other, size_t index) const;
  // How many calls are not; counts no further than `limit`.
  size_t CountDifferences(const LaunchList& other, size_t limit) const;

  // On `stream`, one by one; stops at the first error, and says in `name` what failed. With
  // `early_starts` kernels behind kernels start early.
  cudaError_t LaunchEach(cudaStream_t stream, bool early_starts, const char** name);
  // A new node of `graph` behind `last`, that of the call before, or null where there is none.
  cudaError_t AddNode(size_t index, cudaGraph_t graph, cudaGraphNode_t last, bool early_starts,
                      cudaGraphNode_t* node);
  // Makes the node of a list of the same shape one of this call.
  cudaError_t SetNode(size_t index, cudaGraphExec_t graph, cudaGraphNode_t node);

 private:
  struct CopyEnds {
    void* to;
    const void* from;
    size_t num_bytes;
  };
  struct Call {
    const char* name;
    const void* function;  // null: a copy, whose parameters are CopyEnds
    LaunchShape shape;
    size_t first_byte;       // of the parameters, in bytes_
    size_t first_parameter;  // in offsets_
    size_t num_parameters;

    bool HasShapeOf(const Call& other) const;
  };

  // Whether the call and the one before it are kernels.
  bool IsBehindKernel(size_t index) const;
  size_t EndOf(size_t index) const;  // of its parameters, in bytes_
  CopyEnds Ends(const Call& call) const;
  // Valid until the next call of this function.
  void** Pointers(const Call& call);
  cudaKernelNodeParams NodeParams(const Call& call);

  std::vector<Call> calls_;
  std::vector<std::byte> bytes_;  // of parameters, each aligned to 16 bytes
  std::vector<size_t> offsets_;   // of each parameter in bytes_
  std::vector<void*> pointers_;
  uint64_t shape_hash_ = 0;  // equal for lists of one shape
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_LAUNCH_LIST_H_
