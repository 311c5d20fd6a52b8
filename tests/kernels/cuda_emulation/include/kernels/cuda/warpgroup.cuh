// The instructions of kernels/cuda/warpgroup.cuh as PTX specifies them, for the emulation.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_WARPGROUP_CUH_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_WARPGROUP_CUH_

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "kernels/cuda/intrinsics.cuh"
#include "model/check.h"

namespace tramontane::cuda {

inline constexpr bool kHasWarpgroups = true;
inline constexpr int kWarpgroupThreads = 4 * kWarpSize;
inline constexpr int kHalfStepBytes = 128;
inline constexpr int kRowGroupBytes = 1024;

inline uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(shared));
}
inline void Trap() { __trap(); }

// Clusters of one block.
inline constexpr int kClusterBlocks = 1;
#define TRAMONTANE_CLUSTER
inline int BlockOfCluster() { return 0; }
inline void SyncCluster() { __syncthreads(); }

inline void InitBarrier(uint64_t* barrier, int arrivals) {
  emulation::InitBarrier(barrier, arrivals);
}
inline void PublishBarriers() {}
inline void ArriveExpecting(uint64_t* barrier, int num_bytes) {
  emulation::Arrive(barrier, num_bytes);
}
inline void AwaitBarrier(uint64_t* barrier, int parity) {
  emulation::AwaitBarrier(barrier, parity);
}
inline void CopyBulk(void* shared, const void* global, int num_bytes, uint64_t* barrier) {
  emulation::CopyBulk(shared, global, num_bytes, barrier);
}

inline void ArriveAt(uint64_t* barrier, int) { emulation::Arrive(barrier, 0); }
inline void CopyBulkToCluster(void* shared, const void* global, int num_bytes, uint64_t* barrier) {
  emulation::CopyBulk(shared, global, num_bytes, barrier);
}

template <int kRegisters>
inline void GiveRegistersUpTo() {}
template <int kRegisters>
inline void TakeRegistersUpTo() {}

inline void BeginProducts() {}
inline void CommitProducts() {}
template <int kPending>
inline void AwaitProducts() {}
template <int kCount>
inline void HoldSums(float (&)[kCount]) {}

template <int kRows>
inline void MultiplyRows(float (&sums)[kRows / 2], const uint4& a, const unsigned char* rows,
                         bool add) {
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(rows) % 16 == 0);
  const int g = emulation::Lane() / 4, t = emulation::Lane() % 4;
  for (int n = 0; n < kRows / 8; ++n) {
    float some[4];
    for (int i = 0; i < 4; ++i) some[i] = add ? sums[4 * n + i] : 0;
    uint32_t halves[2];
    for (int half = 0; half < 2; ++half) {
      std::memcpy(&halves[half], rows + n * kRowGroupBytes + half * kHalfStepBytes + g * 16 + t * 4,
                  4);
    }
    MultiplyAdd(some, a.x, a.y, a.z, a.w, halves[0], halves[1]);
    for (int i = 0; i < 4; ++i) sums[4 * n + i] = some[i];
  }
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_INCLUDE_KERNELS_CUDA_WARPGROUP_CUH_
