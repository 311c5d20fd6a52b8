#include "kernels/cuda/launch_list.h"

#include <cstring>

#include "kernels/round_up.h"

namespace tramontane::cuda {
namespace {

constexpr size_t kAlignment = 16;
// What operator new gives, so that an offset's alignment is an address's.
static_assert(__STDCPP_DEFAULT_NEW_ALIGNMENT__ >= kAlignment);

bool Same(const dim3& a, const dim3& b) { return a.x == b.x && a.y == b.y && a.z == b.z; }

uint64_t Mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 32);
}

// Puts `node` behind `last`, early start or not.
cudaError_t PutBehind(cudaGraph_t graph, cudaGraphNode_t last, cudaGraphNode_t node,
                      bool early_start) {
  cudaGraphEdgeData edge = {};
  if (early_start) {
    edge.from_port = cudaGraphKernelNodePortProgrammatic;
    edge.type = cudaGraphDependencyTypeProgrammatic;
  }
#if CUDART_VERSION >= 13000
  return cudaGraphAddDependencies(graph, &last, &node, &edge, 1);
#else
  return cudaGraphAddDependencies_v2(graph, &last, &node, &edge, 1);
#endif
}

}  // namespace

cudaError_t LaunchKernel(const KernelCall& call, bool early_start, cudaStream_t stream) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = call.shape.grid;
  config.blockDim = call.shape.block;
  config.dynamicSmemBytes = call.shape.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = early_start ? 1 : 0;
  return cudaLaunchKernelExC(&config, call.function, call.parameters.data());
}

bool LaunchList::Call::HasShapeOf(const Call& other) const {
  return function == other.function && Same(shape.block, other.shape.block) &&
         shape.shared_bytes == other.shape.shared_bytes && num_parameters == other.num_parameters;
}

void LaunchList::AddKernel(const KernelCall& call) {
  calls_.push_back({call.name, call.function, call.shape, bytes_.size(), offsets_.size(),
                    call.parameters.size()});
  for (size_t p = 0; p < call.parameters.size(); ++p) {
    const size_t offset = bytes_.size(), size = call.sizes[p];
    // Padded with zeros, so that equal parameters are of equal bytes.
    bytes_.resize(offset + RoundUp(size, kAlignment));
    std::memcpy(bytes_.data() + offset, call.parameters[p], size);
    offsets_.push_back(offset);
  }
  const dim3& block = call.shape.block;
  shape_hash_ = Mix(shape_hash_, reinterpret_cast<uintptr_t>(call.function));
  shape_hash_ = Mix(shape_hash_, call.shape.shared_bytes);
  shape_hash_ = Mix(shape_hash_, uint64_t{block.x} << 32 | block.y << 16 | block.z);
}

void LaunchList::AddCopy(const char* name, void* to, const void* from, size_t num_bytes) {
  CopyEnds ends = {to, from, num_bytes};
  void* parameter = &ends;
  const size_t size = sizeof(ends);
  AddKernel({name, nullptr, {}, {&parameter, 1}, {&size, 1}});
}

void LaunchList::Clear() {
  calls_.clear();
  bytes_.clear();
  offsets_.clear();
  shape_hash_ = 0;
}

bool LaunchList::HasShapeOf(const LaunchList& other) const {
  if (shape_hash_ != other.shape_hash_ || calls_.size() != other.calls_.size() ||
      offsets_ != other.offsets_ || bytes_.size() != other.bytes_.size()) {
    return false;
  }
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!calls_[i].HasShapeOf(other.calls_[i])) return false;
  }
  return true;
}

size_t LaunchList::EndOf(size_t index) const {
  return index + 1 < calls_.size() ? calls_[index + 1].first_byte : bytes_.size();
}

bool LaunchList::HasCallOf(const LaunchList& other, size_t index) const {
  const size_t first = calls_[index].first_byte;
  return Same(calls_[index].shape.grid, other.calls_[index].shape.grid) &&
         std::memcmp(bytes_.data() + first, other.bytes_.data() + first, EndOf(index) - first) == 0;
}

size_t LaunchList::CountDifferences(const LaunchList& other, size_t limit) const {
  size_t count = 0;
  for (size_t i = 0; i < calls_.size() && count < limit; ++i) {
    if (!HasCallOf(other, i)) ++count;
  }
  return count;
}

LaunchList::CopyEnds LaunchList::Ends(const Call& call) const {
  CopyEnds ends;
  std::memcpy(&ends, bytes_.data() + call.first_byte, sizeof(ends));
  return ends;
}

void** LaunchList::Pointers(const Call& call) {
  pointers_.resize(call.num_parameters);
  for (size_t p = 0; p < call.num_parameters; ++p) {
    pointers_[p] = bytes_.data() + offsets_[call.first_parameter + p];
  }
  return pointers_.data();
}

cudaKernelNodeParams LaunchList::NodeParams(const Call& call) {
  cudaKernelNodeParams params = {};
  params.func = const_cast<void*>(call.function);
  params.gridDim = call.shape.grid;
  params.blockDim = call.shape.block;
  params.sharedMemBytes = static_cast<unsigned>(call.shape.shared_bytes);
  params.kernelParams = Pointers(call);
  return params;
}

bool LaunchList::IsBehindKernel(size_t index) const {
  return index > 0 && calls_[index].function != nullptr && calls_[index - 1].function != nullptr;
}

cudaError_t LaunchList::LaunchEach(cudaStream_t stream, bool early_starts, const char** name) {
  for (size_t i = 0; i < calls_.size(); ++i) {
    const Call& call = calls_[i];
    cudaError_t error;
    if (call.function == nullptr) {
      const CopyEnds ends = Ends(call);
      error = cudaMemcpyAsync(ends.to, ends.from, ends.num_bytes, cudaMemcpyDefault, stream);
    } else {
      error = LaunchKernel(
          {call.name, call.function, call.shape, {Pointers(call), call.num_parameters}, {}},
          early_starts && IsBehindKernel(i), stream);
    }
    *name = call.name;
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t LaunchList::AddNode(size_t index, cudaGraph_t graph, cudaGraphNode_t last,
                                bool early_starts, cudaGraphNode_t* node) {
  const Call& call = calls_[index];
  cudaError_t error;
  if (call.function == nullptr) {
    const CopyEnds ends = Ends(call);
    error = cudaGraphAddMemcpyNode1D(node, graph, nullptr, 0, ends.to, ends.from, ends.num_bytes,
                                     cudaMemcpyDefault);
  } else {
    const cudaKernelNodeParams params = NodeParams(call);
    error = cudaGraphAddKernelNode(node, graph, nullptr, 0, &params);
  }
  if (error != cudaSuccess || last == nullptr) return error;
  return PutBehind(graph, last, *node, early_starts && IsBehindKernel(index));
}

cudaError_t LaunchList::SetNode(size_t index, cudaGraphExec_t graph, cudaGraphNode_t node) {
  const Call& call = calls_[index];
  if (call.function == nullptr) {
    const CopyEnds ends = Ends(call);
    return cudaGraphExecMemcpyNodeSetParams1D(graph, node, ends.to, ends.from, ends.num_bytes,
                                              cudaMemcpyDefault);
  }
  const cudaKernelNodeParams params = NodeParams(call);
  return cudaGraphExecKernelNodeSetParams(graph, node, &params);
}

}  // namespace tramontane::cuda
