// Functions that must be compiled into each instruction set's own translation unit: an out-of-line
// copy could be shared by the linker with code for machines that lack the instructions.
#ifndef TRAMONTANE_KERNELS_CPU_ALWAYS_INLINE_H_
#define TRAMONTANE_KERNELS_CPU_ALWAYS_INLINE_H_

#define TRAMONTANE_INLINE __attribute__((always_inline)) inline
// After a lambda's parameters.
#define TRAMONTANE_INLINE_LAMBDA __attribute__((always_inline))

#endif  // TRAMONTANE_KERNELS_CPU_ALWAYS_INLINE_H_
