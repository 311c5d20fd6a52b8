// Runs a kernel's blocks of threads on the processor, each thread on a stack of its own, so that
// the CUDA backend's logic is tested where there is no device: indexes, barriers, shared memory.
// Nothing of its speed, and of the hardware only what PTX specifies.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_BLOCK_OF_FIBERS_H_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_BLOCK_OF_FIBERS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace tramontane::emulation {

inline constexpr int kLanes = 32;
inline constexpr size_t kSlotBytes = 32;

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// Runs `kernel` for every block of `grid`, with `shared_bytes` of dynamic shared memory that start
// out with every bit set. Threads run in another order in every launch, from one barrier to the
// next. A barrier that some threads never reach ends the process, as does a thread that ends
// without AwaitPrevious.
void RunGrid(const Extent& grid, const Extent& block, size_t shared_bytes,
             const std::function<void()>& kernel);

// Of the running thread.
unsigned char* DynamicShared();
int Lane();
void SyncThreads();
// The kernel ahead has always ended: only whether each thread waits for it is looked at.
void AwaitPrevious();

// Waits until all lanes of the warp have called it, then returns what each gave: valid until this
// lane has called it twice more.
const std::byte (*ExchangeInWarp(const void* mine, size_t size))[kSlotBytes];

template <typename T>
T FromLane(const std::byte (*slots)[kSlotBytes], int lane) {
  static_assert(sizeof(T) <= kSlotBytes);
  T value;
  std::memcpy(&value, slots[lane], sizeof(T));
  return value;
}

// Asynchronous copies take place when they are waited for; until then the target is poisoned.
void CopyAsync(void* to, const void* from, bool valid);
void CommitCopies();
void AwaitCopies(int pending);

// Barriers in shared memory: a phase ends with the last of its arrivals and of the bytes that are
// expected. Bulk copies take place at once.
void InitBarrier(uint64_t* barrier, int arrivals);
void Arrive(uint64_t* barrier, int expected_bytes);
void CopyBulk(void* to, const void* from, int num_bytes, uint64_t* barrier);
void AwaitBarrier(const uint64_t* barrier, int parity);

}  // namespace tramontane::emulation

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_BLOCK_OF_FIBERS_H_
