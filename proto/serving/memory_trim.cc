#include "proto/serving/memory_trim.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

// What glibc's own thresholds grow to where large pieces are freed. Setting one fixes both.
constexpr int kMmapThreshold = 32 << 20;
constexpr int kTrimThreshold = 2 * kMmapThreshold;
// malloc_trim leaves the end of a thread's arena, which only a call of `free` in that arena gives
// back, of a piece too large for a thread's own cache, and only above the trim threshold: up to 64
// MiB an arena. For a moment that is low, in which threads that serve free something; arenas that
// nobody uses stay. Always low, it costs large messages a tenth of their way, as their memory is
// the system's in between (docs/benchmarks.md, "Memory given back").
constexpr int kMomentaryTrimThreshold = 1 << 20;
constexpr absl::Duration kMoment = absl::Milliseconds(50);

void SetThresholds() {
  mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
}

}  // namespace

MemoryTrim::MemoryTrim(absl::Duration interval)
    : least_bytes_((SetThresholds(), AnonymousResidentBytes())),
      task_(interval, [this] { Look(); }) {}

void MemoryTrim::Look() {
  const int64_t now = AnonymousResidentBytes();
  least_bytes_ = std::min(least_bytes_, now);
  if (now - least_bytes_ <= kGrowthBytes) return;
  malloc_trim(0);
  mallopt(M_TRIM_THRESHOLD, kMomentaryTrimThreshold);
  absl::SleepFor(kMoment);
  mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
}

int64_t AnonymousResidentBytes() {
  // In pages: https://www.kernel.org/doc/html/latest/filesystems/proc.html, "statm".
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0, shared = 0;
  if (!(statm >> size >> resident >> shared)) return 0;
  return (resident - shared) * sysconf(_SC_PAGESIZE);
}

}  // namespace tramontane
