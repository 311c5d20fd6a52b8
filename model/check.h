// CHECK for invariants: a failure is a bug of ours, never bad input.
#ifndef TRAMONTANE_MODEL_CHECK_H_
#define TRAMONTANE_MODEL_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace tramontane {

[[noreturn]] inline void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace tramontane

#define TRAMONTANE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::tramontane::CheckFailed(#condition, __FILE__, __LINE__))

#endif  // TRAMONTANE_MODEL_CHECK_H_
