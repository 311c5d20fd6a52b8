#include "proto/serving/polling.h"

#include <sched.h>

#include <cstdlib>

namespace tramontane {
namespace {

// Some tenths of a microsecond.
constexpr int kPauses = 8;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void PollOwnConnections() { setenv("GRPC_POLL_STRATEGY", "poll", /*replace=*/0); }

void BetweenLooks() {
  for (int i = 0; i < kPauses; ++i) Pause();
  sched_yield();
}

}  // namespace tramontane
