#include "kernels/cpu/isa.h"

namespace tramontane::cpu {
namespace {

struct Isa {
  std::string_view name;
  bool (*machine_has)();
  const IsaKernels* (*kernels)();
};

#if defined(__x86_64__)
bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool HasAvx512Bf16() { return HasAvx512() && __builtin_cpu_supports("avx512bf16"); }
#else
bool HasAvx2() { return false; }
bool HasAvx512() { return false; }
bool HasAvx512Bf16() { return false; }
#endif

// The widest first.
constexpr Isa kIsas[] = {
    {"avx512_bf16", &HasAvx512Bf16, &Avx512Bf16Kernels},
    {"avx512", &HasAvx512, &Avx512Kernels},
    {"avx2", &HasAvx2, &Avx2Kernels},
    {"portable", [] { return true; }, &PortableKernels},
};

}  // namespace

const IsaKernels* FindKernels(std::string_view isa) {
  for (const Isa& candidate : kIsas) {
    if (!isa.empty() && isa != candidate.name) continue;
    if (!candidate.machine_has()) continue;
    if (const IsaKernels* kernels = candidate.kernels()) return kernels;
  }
  return nullptr;
}

bool IsKnownIsa(std::string_view isa) {
  for (const Isa& candidate : kIsas) {
    if (isa == candidate.name) return true;
  }
  return isa.empty();
}

}  // namespace tramontane::cpu
