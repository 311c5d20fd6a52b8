#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd_portable.h"

namespace tramontane::cpu {

const IsaKernels* PortableKernels() {
  static constexpr IsaKernels kTable =
      MakeTable<SimdPortable, Bf16Units<SimdPortable>, 2, 2>("portable");
  return &kTable;
}

}  // namespace tramontane::cpu
