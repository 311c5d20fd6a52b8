// What a process holds at a moment: memory, descriptors, threads.
#ifndef TRAMONTANE_TESTS_CHAOS_PROCESS_USE_H_
#define TRAMONTANE_TESTS_CHAOS_PROCESS_USE_H_

#include <sys/types.h>

#include <cstdint>

namespace tramontane {

struct ProcessUse {
  int64_t resident_kib = 0;
  int64_t descriptors = 0;
  int64_t threads = 0;
};

// All 0 where there is no such process.
ProcessUse UseOf(pid_t pid);

// The larger of each.
ProcessUse Most(const ProcessUse& a, const ProcessUse& b);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_PROCESS_USE_H_
