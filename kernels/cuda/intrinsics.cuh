// The device's instructions that C++ has no words for, one small function each.
#ifndef TRAMONTANE_KERNELS_CUDA_INTRINSICS_CUH_
#define TRAMONTANE_KERNELS_CUDA_INTRINSICS_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace tramontane::cuda {

inline constexpr int kWarpSize = 32;

// The block's dynamic shared memory, aligned to 16 bytes.
__device__ __forceinline__ unsigned char* DynamicShared() {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return dynamic_shared;
}

// From here on the kernel behind this one may start, once every block of threads is here or has
// ended. Each kernel begins with it and with AwaitPrevious: context.cc says why this keeps order.
__device__ __forceinline__ void LetNextStart() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits until the kernel ahead has ended and what it wrote can be read. Before, nothing is written,
// and nothing is read but weights and what copies alone write.
__device__ __forceinline__ void AwaitPrevious() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Waits for the warp's lanes; what each has read or written before is behind it.
__device__ __forceinline__ void SyncWarp() { __syncwarp(); }

__device__ __forceinline__ float ShuffleXor(float value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}
__device__ __forceinline__ int32_t ShuffleXor(int32_t value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}

// Two float32 to bf16, to nearest even; `low` in the lower half.
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// 2^x, within 2 units in the last place; subnormal results are zero, 2^-infinity is 0.
__device__ __forceinline__ float Exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

// Sixteen bytes of weights, which are read once: they do not push others out of the L1 cache. The
// compiler may move it ahead of AwaitPrevious.
__device__ __forceinline__ uint4 LoadOnce(const uint4* from) {
  uint4 value;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
      : "l"(from));
  return value;
}

// sums += a * b: a [16, 16] and b [16, 8] of bf16, sums [16, 8] of float32, spread over the warp as
// PTX says for mma.m16n8k16. With g = lane / 4 and t = lane % 4:
//   a[0] = a(g, 2t..), a[1] = a(g + 8, 2t..), a[2] = a(g, 2t + 8..), a[3] = a(g + 8, 2t + 8..)
//   b0 = b(2t.., g), b1 = b(2t + 8.., g)
//   sums[0..1] = (g, 2t..), sums[2..3] = (g + 8, 2t..)
__device__ __forceinline__ void MultiplyAdd(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                            uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Four 8x8 matrices of bf16 from shared memory: lane l gives the address of row l % 8 of matrix
// l / 8, 16 bytes, and gets elements 2t and 2t + 1 of row g of each.
__device__ __forceinline__ uint4 LoadMatrices(const void* shared_row) {
  uint4 r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared_row)))
               : "memory");
  return r;
}

// The same, transposed: the lane gets rows 2t and 2t + 1 of column g of each.
__device__ __forceinline__ uint4 LoadMatricesTransposed(const void* shared_row) {
  uint4 r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared_row)))
               : "memory");
  return r;
}

// Starts to copy 16 bytes to shared memory; zeros, and nothing is read, where not `valid`.
__device__ __forceinline__ void CopyAsync(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

// What this thread has started since the last commit becomes one group.
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most `kPending` of this thread's groups are unfinished.
template <int kPending>
__device__ __forceinline__ void AwaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_INTRINSICS_CUH_
