// What a process has of memory, as the kernel counts it.
#ifndef TRAMONTANE_TESTS_INTEGRATION_RESIDENT_MEMORY_H_
#define TRAMONTANE_TESTS_INTEGRATION_RESIDENT_MEMORY_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tramontane {

// Bytes, of /proc/PID/status (proc(5)).
struct ResidentMemory {
  int64_t anonymous = 0;  // RssAnon: what was allocated and touched
  int64_t mapped = 0;     // RssFile: code, libraries, the checkpoint's pages
  int64_t peak = 0;       // VmHWM: the most of both together since the process began, or since
                          // ForgetPeak
};

// UNAVAILABLE where there is no such process.
absl::StatusOr<ResidentMemory> ReadResidentMemory(pid_t pid);
absl::Status ForgetPeak(pid_t pid);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_RESIDENT_MEMORY_H_
