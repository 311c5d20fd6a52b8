// What the operations of one CPU backend share: kernels, threads and scratch memory.
#ifndef TRAMONTANE_KERNELS_CPU_CONTEXT_H_
#define TRAMONTANE_KERNELS_CPU_CONTEXT_H_

#include <cstdint>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/rotary_table.h"
#include "kernels/thread_pool.h"
#include "model/dtype.h"

namespace tramontane::cpu {

// Host memory that only grows, so that steps of a like size allocate nothing.
class Scratch {
 public:
  // At least `num_bytes`; what was there before is lost. Running out of memory is fatal.
  std::byte* Reserve(int64_t num_bytes);

 private:
  Buffer buffer_;
};

// Not thread-safe: one operation at a time.
struct Context {
  Context(const IsaKernels* isa, DType dtype, int num_threads)
      : kernels(*isa), compute_dtype(dtype), pool(num_threads) {}

  const IsaKernels& kernels;
  const DType compute_dtype;
  ThreadPool pool;

  Scratch thread_floats;               // per thread: sums of a panel, or attention
  Scratch activated;                   // silu(w1 x) * (w3 x) of an ExpertFfn
  std::vector<const std::byte*> rows;  // of the matrix product in hand
  RotaryTable rotary;
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_CONTEXT_H_
