// What compute capability 9.0 has beyond 8.0, one small function each: barriers in shared memory
// that count the bytes of bulk copies, and the tensor cores' asynchronous products of four warps at
// once.
//
// It is machine code for sm_90a alone. In code for other devices the functions do nothing and
// kHasWarpgroups is false; Context::warpgroups says on the host whether a device has them.
#ifndef TRAMONTANE_KERNELS_CUDA_WARPGROUP_CUH_
#define TRAMONTANE_KERNELS_CUDA_WARPGROUP_CUH_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/intrinsics.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define TRAMONTANE_HAS_WARPGROUPS
#endif

namespace tramontane::cuda {

#if defined(TRAMONTANE_HAS_WARPGROUPS) || !defined(__CUDA_ARCH__)
inline constexpr bool kHasWarpgroups = true;
#else
inline constexpr bool kHasWarpgroups = false;
#endif

inline constexpr int kWarpgroupThreads = 4 * kWarpSize;

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// A kernel that a device without warpgroups was given: an error, as nothing would be computed.
__device__ __forceinline__ void Trap() { __trap(); }

// A barrier whose phase ends with the arrival of so many threads and of the bytes that they expect.
// Phases are counted from 0; their parity is what waits are told.
__device__ __forceinline__ void InitBarrier(uint64_t* barrier, int arrivals) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
               "r"(arrivals)
               : "memory");
#endif
}

// By the thread that has initialised barriers, before the cluster's threads meet.
__device__ __forceinline__ void PublishBarriers() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// Arrives; the phase ends no earlier than `num_bytes` more bytes have come.
__device__ __forceinline__ void ArriveExpecting(uint64_t* barrier, int num_bytes) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(num_bytes)
      : "memory");
#endif
}

// Waits for the end of the phase of this parity; that of phase -1 has ended.
__device__ __forceinline__ void AwaitBarrier(uint64_t* barrier, int parity) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "{.reg .pred done;"
      "again:"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;"
      "@done bra ended;"
      "bra again;"
      "ended:}" ::"r"(SharedAddress(barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Blocks of threads that run side by side and reach each other's shared memory: a cluster. Their
// barriers and stages lie at the same places.
inline constexpr int kClusterBlocks = 2;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define TRAMONTANE_CLUSTER __cluster_dims__(kClusterBlocks, 1, 1)
#else
#define TRAMONTANE_CLUSTER
#endif

// The block's place in its cluster.
__device__ __forceinline__ int BlockOfCluster() {
  uint32_t rank = 0;
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return static_cast<int>(rank);
}

// Waits for all threads of the cluster.
__device__ __forceinline__ void SyncCluster() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "barrier.cluster.arrive.release;"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
#endif
}

// Arrives at the barrier of block `block` of the cluster, with what the thread has read behind it.
// Of its writes only its own block would hear: releasing them to the cluster is a fence for the
// whole device, at every stage.
__device__ __forceinline__ void ArriveAt(uint64_t* barrier, int block) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "{.reg .b32 remote;"
      "mapa.shared::cluster.u32 remote, %0, %1;"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];}" ::"r"(SharedAddress(barrier)),
      "r"(block)
      : "memory");
#endif
}

// Starts to copy a multiple of 16 bytes to shared memory; their arrival counts at the barrier.
__device__ __forceinline__ void CopyBulk(void* shared, const void* global, int num_bytes,
                                         uint64_t* barrier) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(shared)),
      "l"(global), "r"(num_bytes), "r"(SharedAddress(barrier))
      : "memory");
#endif
}

// The same to this place of every block of the cluster, and at each one's barrier.
__device__ __forceinline__ void CopyBulkToCluster(void* shared, const void* global, int num_bytes,
                                                  uint64_t* barrier) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  constexpr uint16_t kAllBlocks = (1 << kClusterBlocks) - 1;
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1], %2, [%3], %4;" ::"r"(SharedAddress(shared)),
      "l"(global), "r"(num_bytes), "r"(SharedAddress(barrier)), "h"(kAllBlocks)
      : "memory");
#endif
}

// Of all threads of a warpgroup: how many registers each has from now on, a multiple of 8.
template <int kRegisters>
__device__ __forceinline__ void GiveRegistersUpTo() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}
template <int kRegisters>
__device__ __forceinline__ void TakeRegistersUpTo() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

// Before the first product of some that are committed together.
__device__ __forceinline__ void BeginProducts() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void CommitProducts() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits until at most `kPending` of the commits are unfinished.
template <int kPending>
__device__ __forceinline__ void AwaitProducts() {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#endif
}

// Keeps the compiler from moving what it does with sums across this.
template <int kCount>
__device__ __forceinline__ void HoldSums(float (&sums)[kCount]) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
#endif
}

// Rows of bf16 as a product reads them: a step of 16 k is two halves of 8 k; eight rows of a half
// are 128 bytes, the other half is behind them, the next eight rows lie kRowGroupBytes further.
inline constexpr int kHalfStepBytes = 128;
inline constexpr int kRowGroupBytes = 1024;

__device__ __forceinline__ uint64_t RowsDescriptor(const unsigned char* rows) {
  constexpr uint64_t kStrides = uint64_t{kHalfStepBytes >> 4} << 16 | uint64_t{kRowGroupBytes >> 4}
                                                                          << 32;
  return kStrides | (SharedAddress(rows) & 0x3ffff) >> 4;
}

// Starts sums = a * rows, or sums += a * rows with `add`: `a` [64, 16] spread over the warpgroup's
// four warps, 16 rows each as MultiplyAdd's; `rows` one step of [kRows, 16] in shared memory. Of
// sums [64, kRows] the 8 columns from 8 n on are sums[4 n] to sums[4 n + 3], as MultiplyAdd's. Each
// sum has the bits that MultiplyAdd gives it.
template <int kRows>
__device__ void MultiplyRows(float (&sums)[kRows / 2], const uint4& a, const unsigned char* rows,
                             bool add);

#define TRAMONTANE_SUMS(i)                                                                   \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), \
      "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])

template <>
__device__ __forceinline__ void MultiplyRows<64>(float (&sums)[32], const uint4& a,
                                                 const unsigned char* rows, bool add) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "{.reg .pred add;"
      "setp.ne.b32 add, %37, 0;"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31"
      "}, {%32, %33, %34, %35}, %36, add, 1, 1, 0;}"
      : TRAMONTANE_SUMS(0), TRAMONTANE_SUMS(8), TRAMONTANE_SUMS(16), TRAMONTANE_SUMS(24)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(RowsDescriptor(rows)),
        "r"(static_cast<int>(add)));
#endif
}

template <>
__device__ __forceinline__ void MultiplyRows<128>(float (&sums)[64], const uint4& a,
                                                  const unsigned char* rows, bool add) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "{.reg .pred add;"
      "setp.ne.b32 add, %69, 0;"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63"
      "}, {%64, %65, %66, %67}, %68, add, 1, 1, 0;}"
      : TRAMONTANE_SUMS(0), TRAMONTANE_SUMS(8), TRAMONTANE_SUMS(16), TRAMONTANE_SUMS(24),
        TRAMONTANE_SUMS(32), TRAMONTANE_SUMS(40), TRAMONTANE_SUMS(48), TRAMONTANE_SUMS(56)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(RowsDescriptor(rows)),
        "r"(static_cast<int>(add)));
#endif
}

template <>
__device__ __forceinline__ void MultiplyRows<192>(float (&sums)[96], const uint4& a,
                                                  const unsigned char* rows, bool add) {
#ifdef TRAMONTANE_HAS_WARPGROUPS
  asm volatile(
      "{.reg .pred add;"
      "setp.ne.b32 add, %101, 0;"
      "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, "
      "%88, %89, %90, %91, %92, %93, %94, %95"
      "}, {%96, %97, %98, %99}, %100, add, 1, 1, 0;}"
      : TRAMONTANE_SUMS(0), TRAMONTANE_SUMS(8), TRAMONTANE_SUMS(16), TRAMONTANE_SUMS(24),
        TRAMONTANE_SUMS(32), TRAMONTANE_SUMS(40), TRAMONTANE_SUMS(48), TRAMONTANE_SUMS(56),
        TRAMONTANE_SUMS(64), TRAMONTANE_SUMS(72), TRAMONTANE_SUMS(80), TRAMONTANE_SUMS(88)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(RowsDescriptor(rows)),
        "r"(static_cast<int>(add)));
#endif
}

#undef TRAMONTANE_SUMS

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_WARPGROUP_CUH_
