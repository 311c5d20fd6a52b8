// Gives memory that was freed back to the system.
#ifndef TRAMONTANE_PROTO_SERVING_MEMORY_TRIM_H_
#define TRAMONTANE_PROTO_SERVING_MEMORY_TRIM_H_

#include <cstdint>

#include "absl/time/time.h"
#include "proto/serving/periodic_task.h"

namespace tramontane {

// glibc keeps what is freed between pieces that live on, in an arena of its own for each of many
// threads, and what is free at an arena's end: after a peak of large messages a process would stay
// as large for good. As long as it is larger by a limit than it has been, it is trimmed now and
// then, which costs about nothing where nothing is free; the end of an arena that nobody uses
// stays. A process has one, which sets malloc's thresholds. Used by one thread.
class MemoryTrim {
 public:
  static constexpr int64_t kGrowthBytes = int64_t{16} << 20;

  // Looks from a thread of its own, at this interval.
  explicit MemoryTrim(absl::Duration interval = absl::Seconds(10));

 private:
  void Look();

  int64_t least_bytes_;  // that it has had so far
  PeriodicTask task_;    // last: it uses the above
};

// Of this process: what is resident and no part of a file. 0 where /proc does not tell.
int64_t AnonymousResidentBytes();

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_MEMORY_TRIM_H_
