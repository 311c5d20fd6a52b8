#include "tests/chaos/survivors.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace tramontane {
namespace {

constexpr size_t kUsesToJudge = 30;
constexpr int64_t kMoreAllowed = 4;  // connections and their threads that come and go
constexpr int64_t kMemoryDivisor = 20;

// Of each third of the time: the least memory, the most descriptors and threads.
std::vector<ProcessUse> Thirds(const Survivor& survivor) {
  std::vector<ProcessUse> thirds(3);
  for (size_t i = 0; i < survivor.uses.size(); ++i) {
    ProcessUse& third = thirds[i * 3 / survivor.uses.size()];
    const ProcessUse& use = survivor.uses[i];
    const int64_t least =
        third.resident_kib == 0 ? use.resident_kib : std::min(third.resident_kib, use.resident_kib);
    third = Most(third, use);
    third.resident_kib = least;
  }
  return thirds;
}

std::string Slashes(const std::vector<ProcessUse>& thirds, int64_t ProcessUse::*what,
                    int64_t unit = 1) {
  return absl::StrFormat("%d / %d / %d", thirds[0].*what / unit, thirds[1].*what / unit,
                         thirds[2].*what / unit);
}

}  // namespace

std::string ThirdsColumns(const Survivor& survivor) {
  const std::vector<ProcessUse> thirds = Thirds(survivor);
  return absl::StrFormat("| %s | %s | %s |", Slashes(thirds, &ProcessUse::resident_kib, 1024),
                         Slashes(thirds, &ProcessUse::descriptors),
                         Slashes(thirds, &ProcessUse::threads));
}

std::vector<std::string> GrowthFaults(const std::vector<Survivor>& survivors, int64_t memory_kib) {
  std::vector<std::string> faults;
  for (const Survivor& survivor : survivors) {
    if (survivor.uses.size() < kUsesToJudge) continue;
    const std::vector<ProcessUse> thirds = Thirds(survivor);
    const ProcessUse &second = thirds[1], &last = thirds[2];
    const int64_t memory_allowed = std::max(second.resident_kib / kMemoryDivisor, memory_kib);
    if (last.descriptors <= second.descriptors + kMoreAllowed &&
        last.threads <= second.threads + kMoreAllowed &&
        last.resident_kib <= second.resident_kib + memory_allowed) {
      continue;
    }
    faults.push_back(absl::StrFormat(
        "%s grows: %d KiB, %d descriptors, %d threads in the second third, then %d, %d, %d",
        survivor.name, second.resident_kib, second.descriptors, second.threads, last.resident_kib,
        last.descriptors, last.threads));
  }
  return faults;
}

}  // namespace tramontane
