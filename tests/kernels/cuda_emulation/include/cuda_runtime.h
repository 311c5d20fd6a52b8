// CUDA's words and the part of its runtime that kernels/cuda uses, for the emulation.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "tests/kernels/cuda_emulation/block_of_fibers.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static
#define __align__(bytes) alignas(bytes)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx, blockDim, gridDim;

[[noreturn]] inline void __trap() { std::abort(); }
inline void __syncthreads() { tramontane::emulation::SyncThreads(); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDefault };
enum { cudaHostAllocPortable = 1, cudaHostAllocMapped = 2 };
enum { cudaEventDisableTiming = 2, cudaStreamNonBlocking = 1 };
using cudaStream_t = void*;
using cudaEvent_t = void*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphNode_t = struct EmulatedNode*;
using cudaGraphExec_t = struct EmulatedExec*;
struct cudaKernelNodeParams {
  void* func;
  dim3 gridDim, blockDim;
  unsigned sharedMemBytes;
  void** kernelParams;
  void** extra;
};
enum cudaGraphDependencyType {
  cudaGraphDependencyTypeDefault = 0,
  cudaGraphDependencyTypeProgrammatic = 1,
};
enum { cudaGraphKernelNodePortDefault = 0, cudaGraphKernelNodePortProgrammatic = 1 };
struct cudaGraphEdgeData {
  unsigned char from_port, to_port, type, reserved[5];
};
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
union cudaLaunchAttributeValue {
  int programmaticStreamSerializationAllowed;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
struct cudaDeviceProp {
  char name[256];
  int major, minor;
  int multiProcessorCount;
};

// All of this is thread-safe. Work is queued on one stream, whoever's it is, and runs in order, one
// after the other, when somebody waits for anything. Device memory is out of the host's reach but
// while work runs; pinned memory is not.
void EmulatedEnqueue(std::function<void()> work);

// How to call a kernel, which is declared before it is launched or put into a graph.
struct EmulatedKernel {
  void (*call)(const void* function, void** parameters) = nullptr;
  std::vector<size_t> parameter_sizes;
};
void EmulatedDeclare(const void* function, const EmulatedKernel& kernel);

// What has been done with graphs, and without.
struct EmulatedCounts {
  int graphs = 0;          // instantiated
  int graph_launches = 0;  // of whole graphs
  int node_updates = 0;    // of instantiated graphs
  int launches = 0;        // of kernels by themselves
  int early_starts = 0;    // of those, with leave to start before the kernel ahead has ended
  int early_edges = 0;     // the same in graphs that were made
};
EmulatedCounts EmulatedLaunchCounts();
// Fails, from now on, the instantiation or the launch of graphs.
void EmulateGraphErrors(cudaError_t instantiate, cudaError_t launch);

// From now on allocations that would take more than so many bytes in all fail.
void EmulatedLimitMemory(size_t max_bytes);
// How often device or pinned memory has been allocated.
int EmulatedNumAllocations();
// What the runtime says of the machine: devices, their compute capability and the driver's version.
struct EmulatedMachine {
  int num_devices = 1;
  int major = 9, minor = 0;
  int driver = 13000;
  cudaError_t count_error = cudaSuccess;
  cudaError_t allocation_error =
      cudaSuccess;  // of all allocations; a launch failure, of all calls about memory
};
void EmulateMachine(const EmulatedMachine& machine);

cudaError_t cudaMalloc(void** bytes, size_t size);
cudaError_t cudaFree(void* bytes);
cudaError_t cudaHostAlloc(void** bytes, size_t size, unsigned flags);
cudaError_t cudaFreeHost(void* bytes);
cudaError_t cudaMemset(void* bytes, int value, size_t size);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** parameters,
                             size_t shared_bytes, cudaStream_t stream);
// Refuses early starts on a machine of compute capability below 9.0.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** parameters);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaSetDevice(int device);  // the calling thread's
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
// Graphs are chains: a node depends on the one that was added before it, and on no other. Nodes are
// added without what they depend on. An early start is refused as a launch's is, and where one of
// the two nodes is a copy.
cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                   const cudaGraphNode_t* before, size_t num_before,
                                   const cudaKernelNodeParams* params);
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph,
                                     const cudaGraphNode_t* before, size_t num_before, void* to,
                                     const void* from, size_t size, cudaMemcpyKind kind);
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData* edges,
                                     size_t count);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params);
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to,
                                               const void* from, size_t size, cudaMemcpyKind kind);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_
