#include "proto/serving/memory_trim.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace tramontane {

MemoryTrim::MemoryTrim(absl::Duration interval)
    : least_bytes_(AnonymousResidentBytes()), task_(interval, [this] { Look(); }) {}

void MemoryTrim::Look() {
  const int64_t now = AnonymousResidentBytes();
  least_bytes_ = std::min(least_bytes_, now);
  if (now - least_bytes_ > kGrowthBytes) malloc_trim(0);
}

int64_t AnonymousResidentBytes() {
  // In pages: https://www.kernel.org/doc/html/latest/filesystems/proc.html, "statm".
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0, shared = 0;
  if (!(statm >> size >> resident >> shared)) return 0;
  return (resident - shared) * sysconf(_SC_PAGESIZE);
}

}  // namespace tramontane
