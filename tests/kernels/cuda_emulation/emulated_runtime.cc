#include <cuda_runtime.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "kernels/round_up.h"
#include "model/check.h"
#include "tests/kernels/cuda_emulation/device_arena.h"

namespace {

using tramontane::emulation::DeviceArena;

constexpr size_t kMemoryBytes = size_t{1} << 32;

// The machine, of the whole process: backends of any thread share its one stream.
struct Machine {
  // Held while work runs, which may be any backend's. Recursive: the runtime's functions call one
  // another.
  std::recursive_mutex mutex;
  std::deque<std::function<void()>> queue ABSL_GUARDED_BY(mutex);
  DeviceArena arena ABSL_GUARDED_BY(mutex){kMemoryBytes};
  size_t max_bytes ABSL_GUARDED_BY(mutex) = kMemoryBytes;
  int num_allocations ABSL_GUARDED_BY(mutex) = 0;
  std::map<const void*, int> device_of ABSL_GUARDED_BY(mutex);  // allocations of either kind
  EmulatedMachine properties ABSL_GUARDED_BY(mutex);
};

Machine* MakeMachine() {
  auto* const machine = new Machine;
  if (const char* const major = std::getenv("TRAMONTANE_EMULATED_MAJOR")) {
    machine->properties.major = std::atoi(major);
  }
  return machine;
}

Machine& TheMachine() {
  static Machine* const machine = MakeMachine();  // never destroyed: buffers may be, after main
  return *machine;
}

// The machine for as long as this lives.
class LockedMachine {
 public:
  Machine* operator->() const { return &machine_; }

 private:
  Machine& machine_ = TheMachine();
  const std::lock_guard<std::recursive_mutex> lock_{machine_.mutex};
};

cudaError_t Flush() {
  const LockedMachine machine;
  if (machine->queue.empty()) return cudaSuccess;
  const DeviceArena::Access access(machine->arena);
  while (!machine->queue.empty()) {
    const std::function<void()> work = std::move(machine->queue.front());
    machine->queue.pop_front();
    work();
  }
  return cudaSuccess;
}

thread_local int current_device = 0;

void NoteAllocation(const void* bytes) {
  const LockedMachine machine;
  ++machine->num_allocations;
  machine->device_of[bytes] = current_device;
}

// The runtime would make a context on another device, and may fail for it.
void CheckDevice(const void* bytes) {
  const LockedMachine machine;
  const auto found = machine->device_of.find(bytes);
  TRAMONTANE_CHECK(found != machine->device_of.end() && found->second == current_device);
  machine->device_of.erase(found);
}

}  // namespace

void EmulatedEnqueue(std::function<void()> work) {
  LockedMachine()->queue.push_back(std::move(work));
}
void EmulatedLimitMemory(size_t max_bytes) { LockedMachine()->max_bytes = max_bytes; }
int EmulatedNumAllocations() { return LockedMachine()->num_allocations; }
void EmulateMachine(const EmulatedMachine& properties) { LockedMachine()->properties = properties; }

cudaError_t cudaMalloc(void** bytes, size_t size) {
  const LockedMachine machine;
  if (machine->properties.allocation_error != cudaSuccess) {
    return machine->properties.allocation_error;
  }
  const size_t allocated = machine->arena.allocated();
  if (allocated > machine->max_bytes || size > machine->max_bytes - allocated) {
    return cudaErrorMemoryAllocation;
  }
  *bytes = machine->arena.Allocate(size);
  if (*bytes == nullptr) return cudaErrorMemoryAllocation;
  NoteAllocation(*bytes);
  const DeviceArena::Access access(machine->arena, *bytes, size);
  std::memset(*bytes, 0xff, size);  // what is read unwritten is noticed
  return cudaSuccess;
}

cudaError_t cudaFree(void* bytes) {
  const LockedMachine machine;
  Flush();
  if (bytes == nullptr) return cudaSuccess;
  CheckDevice(bytes);
  machine->arena.Free(bytes);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** bytes, size_t size, unsigned) {
  const cudaError_t error = LockedMachine()->properties.allocation_error;
  if (error != cudaSuccess) return error;
  *bytes = std::aligned_alloc(256, tramontane::RoundUp(size, 256));
  TRAMONTANE_CHECK(*bytes != nullptr);
  std::memset(*bytes, 0xff, size);
  NoteAllocation(*bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* bytes) {
  Flush();
  if (bytes != nullptr) CheckDevice(bytes);
  std::free(bytes);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* bytes, int value, size_t size) {
  const LockedMachine machine;
  Flush();
  const DeviceArena::Access access(machine->arena, bytes, size);
  std::memset(bytes, value, size);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  EmulatedEnqueue([=] { std::memcpy(to, from, size); });
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const LockedMachine machine;
  if (machine->properties.allocation_error == cudaErrorLaunchFailure) return cudaErrorLaunchFailure;
  const size_t allocated = machine->arena.allocated();
  *free_bytes = allocated < machine->max_bytes ? machine->max_bytes - allocated : 0;
  *total_bytes = kMemoryBytes;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  const LockedMachine machine;
  *count = machine->properties.num_devices;
  return machine->properties.count_error;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const LockedMachine machine;
  std::strcpy(properties->name, "emulated");
  properties->major = machine->properties.major;
  properties->minor = machine->properties.minor;
  properties->multiProcessorCount = 3;  // fewer than blocks of most launches
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = LockedMachine()->properties.driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return Flush(); }
cudaError_t cudaStreamDestroy(cudaStream_t) { return Flush(); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  static int any;
  *event = &any;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return Flush(); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "emulated error";
}
