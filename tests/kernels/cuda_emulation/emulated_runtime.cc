#include <cuda_runtime.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "model/check.h"

namespace {

constexpr size_t kMemoryBytes = size_t{1} << 32;

std::deque<std::function<void()>>& Queue() {
  static std::deque<std::function<void()>> queue;
  return queue;
}

std::map<void*, size_t>& Allocated() {
  static std::map<void*, size_t> allocated;
  return allocated;
}

size_t max_bytes_of_all = kMemoryBytes, bytes_of_all = 0;
EmulatedMachine emulated;

cudaError_t Flush() {
  while (!Queue().empty()) {
    const std::function<void()> work = std::move(Queue().front());
    Queue().pop_front();
    work();
  }
  return cudaSuccess;
}

// Every bit set, so that what is read unwritten is noticed.
void* Poisoned(size_t size) {
  void* bytes = std::aligned_alloc(256, (size + 255) / 256 * 256);
  TRAMONTANE_CHECK(bytes != nullptr);
  std::memset(bytes, 0xff, size);
  return bytes;
}

}  // namespace

void EmulatedEnqueue(std::function<void()> work) { Queue().push_back(std::move(work)); }
void EmulatedLimitMemory(size_t max_bytes) { max_bytes_of_all = max_bytes; }
void EmulateMachine(const EmulatedMachine& machine) { emulated = machine; }

cudaError_t cudaMalloc(void** bytes, size_t size) {
  if (size > max_bytes_of_all - bytes_of_all || bytes_of_all > max_bytes_of_all) {
    return cudaErrorMemoryAllocation;
  }
  *bytes = Poisoned(size);
  bytes_of_all += size;
  Allocated()[*bytes] = size;
  return cudaSuccess;
}

cudaError_t cudaFree(void* bytes) {
  Flush();
  if (bytes == nullptr) return cudaSuccess;
  TRAMONTANE_CHECK(Allocated().count(bytes) == 1);
  bytes_of_all -= Allocated()[bytes];
  Allocated().erase(bytes);
  std::free(bytes);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** bytes, size_t size, unsigned) {
  *bytes = Poisoned(size);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* bytes) {
  Flush();
  std::free(bytes);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* bytes, int value, size_t size) {
  Flush();
  std::memset(bytes, value, size);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  EmulatedEnqueue([=] { std::memcpy(to, from, size); });
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *free_bytes = max_bytes_of_all - bytes_of_all;
  *total_bytes = kMemoryBytes;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulated.num_devices;
  return emulated.count_error;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strcpy(properties->name, "emulated");
  properties->major = emulated.major;
  properties->minor = emulated.minor;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulated.driver;
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
