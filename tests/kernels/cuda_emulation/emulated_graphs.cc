// Kernels' launches and graphs of the emulated runtime.
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "kernels/round_up.h"
#include "model/check.h"

// What a node does, with copies of its parameters. Immutable, so that launches may hold it.
struct EmulatedWork {
  const void* function = nullptr;  // of a kernel; null: a copy
  std::function<void()> run;
};

struct EmulatedNode {
  EmulatedGraph* graph;
  size_t index;
};

struct EmulatedGraph {
  std::vector<std::unique_ptr<EmulatedNode>> nodes;
  std::vector<std::shared_ptr<const EmulatedWork>> work;  // of each node
  size_t num_edges = 0;                                   // from each node to the next
};

struct EmulatedExec {
  EmulatedGraph* graph;
  std::vector<std::shared_ptr<const EmulatedWork>> work;
};

namespace {

constexpr size_t kAlignment = 16;

struct Kernels {
  std::mutex mutex;
  std::map<const void*, EmulatedKernel> declared ABSL_GUARDED_BY(mutex);
  EmulatedCounts counts ABSL_GUARDED_BY(mutex);
  cudaError_t instantiate_error ABSL_GUARDED_BY(mutex) = cudaSuccess;
  cudaError_t launch_error ABSL_GUARDED_BY(mutex) = cudaSuccess;
};

Kernels& TheKernels() {
  static Kernels* const kernels = new Kernels;
  return *kernels;
}

// Counts, and returns the errors that are emulated.
cudaError_t Count(int EmulatedCounts::*count, cudaError_t Kernels::*error = nullptr) {
  Kernels& kernels = TheKernels();
  const std::lock_guard<std::mutex> lock(kernels.mutex);
  if (error != nullptr && kernels.*error != cudaSuccess) return kernels.*error;
  ++(kernels.counts.*count);
  return cudaSuccess;
}

std::shared_ptr<const EmulatedWork> KernelWork(const void* function, const dim3& grid,
                                               const dim3& block, size_t shared_bytes,
                                               void** parameters) {
  EmulatedKernel kernel;
  {
    Kernels& kernels = TheKernels();
    const std::lock_guard<std::mutex> lock(kernels.mutex);
    const auto found = kernels.declared.find(function);
    TRAMONTANE_CHECK(found != kernels.declared.end());
    kernel = found->second;
  }
  std::vector<std::byte> bytes;
  std::vector<size_t> offsets;
  for (size_t p = 0; p < kernel.parameter_sizes.size(); ++p) {
    const size_t size = kernel.parameter_sizes[p];
    offsets.push_back(bytes.size());
    bytes.resize(offsets.back() + tramontane::RoundUp(size, kAlignment));
    std::memcpy(bytes.data() + offsets.back(), parameters[p], size);
  }
  auto work = std::make_shared<EmulatedWork>();
  work->function = function;
  work->run = [=]() mutable {
    std::vector<void*> pointers;
    for (const size_t offset : offsets) pointers.push_back(bytes.data() + offset);
    tramontane::emulation::RunGrid({grid.x, grid.y, grid.z}, {block.x, block.y, block.z},
                                   shared_bytes, [&] { kernel.call(function, pointers.data()); });
  };
  return work;
}

std::shared_ptr<const EmulatedWork> KernelWork(const cudaKernelNodeParams& params) {
  TRAMONTANE_CHECK(params.extra == nullptr);
  return KernelWork(params.func, params.gridDim, params.blockDim, params.sharedMemBytes,
                    params.kernelParams);
}

std::shared_ptr<const EmulatedWork> CopyWork(void* to, const void* from, size_t size) {
  auto work = std::make_shared<EmulatedWork>();
  work->run = [=] { std::memcpy(to, from, size); };
  return work;
}

bool MayStartEarly() {
  cudaDeviceProp properties;
  return cudaGetDeviceProperties(&properties, 0) == cudaSuccess && properties.major >= 9;
}

cudaError_t AddNode(cudaGraphNode_t* node, cudaGraph_t graph, size_t num_before,
                    std::shared_ptr<const EmulatedWork> work) {
  if (num_before != 0) return cudaErrorInvalidValue;
  graph->nodes.push_back(std::make_unique<EmulatedNode>(EmulatedNode{graph, graph->nodes.size()}));
  graph->work.push_back(std::move(work));
  *node = graph->nodes.back().get();
  return cudaSuccess;
}

// The work of launches that are queued stays as it is.
cudaError_t SetNode(cudaGraphExec_t exec, cudaGraphNode_t node,
                    std::shared_ptr<const EmulatedWork> work) {
  if (node->graph != exec->graph) return cudaErrorInvalidValue;
  if (exec->work[node->index]->function != work->function) return cudaErrorInvalidValue;
  exec->work[node->index] = std::move(work);
  return Count(&EmulatedCounts::node_updates);
}

}  // namespace

void EmulatedDeclare(const void* function, const EmulatedKernel& kernel) {
  Kernels& kernels = TheKernels();
  const std::lock_guard<std::mutex> lock(kernels.mutex);
  kernels.declared.emplace(function, kernel);
}

EmulatedCounts EmulatedLaunchCounts() {
  Kernels& kernels = TheKernels();
  const std::lock_guard<std::mutex> lock(kernels.mutex);
  return kernels.counts;
}

void EmulateGraphErrors(cudaError_t instantiate, cudaError_t launch) {
  Kernels& kernels = TheKernels();
  const std::lock_guard<std::mutex> lock(kernels.mutex);
  kernels.instantiate_error = instantiate;
  kernels.launch_error = launch;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** parameters,
                             size_t shared_bytes, cudaStream_t) {
  EmulatedEnqueue(
      [work = KernelWork(function, grid, block, shared_bytes, parameters)] { work->run(); });
  return Count(&EmulatedCounts::launches);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** parameters) {
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    TRAMONTANE_CHECK(attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization);
    TRAMONTANE_CHECK(attribute.val.programmaticStreamSerializationAllowed == 1);
    if (!MayStartEarly()) return cudaErrorNotSupported;
    Count(&EmulatedCounts::early_starts);
  }
  return cudaLaunchKernel(function, config->gridDim, config->blockDim, parameters,
                          config->dynamicSmemBytes, config->stream);
}

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new EmulatedGraph;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t*,
                                   size_t num_before, const cudaKernelNodeParams* params) {
  return AddNode(node, graph, num_before, KernelWork(*params));
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph,
                                     const cudaGraphNode_t*, size_t num_before, void* to,
                                     const void* from, size_t size, cudaMemcpyKind) {
  if (size == 0) return cudaErrorInvalidValue;
  return AddNode(node, graph, num_before, CopyWork(to, from, size));
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData* edges,
                                     size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const size_t last = graph->nodes.size() - 1;
    if (from[i]->graph != graph || to[i]->graph != graph || to[i]->index != last ||
        from[i]->index + 1 != last || ++graph->num_edges != last) {
      return cudaErrorInvalidValue;
    }
    const cudaGraphEdgeData& edge = edges[i];
    if (edge.type == cudaGraphDependencyTypeDefault) continue;
    if (edge.type != cudaGraphDependencyTypeProgrammatic ||
        edge.from_port != cudaGraphKernelNodePortProgrammatic || edge.to_port != 0 ||
        graph->work[last]->function == nullptr || graph->work[last - 1]->function == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (!MayStartEarly()) return cudaErrorNotSupported;
    Count(&EmulatedCounts::early_edges);
  }
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (graph->num_edges + 1 != graph->nodes.size()) return cudaErrorInvalidValue;
  const cudaError_t error = Count(&EmulatedCounts::graphs, &Kernels::instantiate_error);
  if (error == cudaSuccess) *exec = new EmulatedExec{graph, graph->work};
  return error;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  return SetNode(exec, node, KernelWork(*params));
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to,
                                               const void* from, size_t size, cudaMemcpyKind) {
  if (size == 0) return cudaErrorInvalidValue;
  return SetNode(exec, node, CopyWork(to, from, size));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  const cudaError_t error = Count(&EmulatedCounts::graph_launches, &Kernels::launch_error);
  if (error != cudaSuccess) return error;
  for (const auto& work : exec->work) EmulatedEnqueue([work] { work->run(); });
  return cudaSuccess;
}
