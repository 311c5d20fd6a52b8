// Processes that live through a test, and whether what they hold has grown.
#ifndef TRAMONTANE_TESTS_CHAOS_SURVIVORS_H_
#define TRAMONTANE_TESTS_CHAOS_SURVIVORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/chaos/process_use.h"

namespace tramontane {

struct Survivor {
  std::string name;
  std::vector<ProcessUse> uses;  // at equal distances
};

// Three columns of a table in Markdown, by thirds of the time: resident MiB at least, which a peak
// that passes does not change and a leak does; descriptors and threads at most:
// "| 20 / 21 / 21 | 15 / 15 / 15 | 23 / 23 / 23 |".
std::string ThirdsColumns(const Survivor& survivor);

// A line for each that had in the last third of the time over 4 more descriptors or threads than in
// the second, or at least over 5% and `memory_kib` more memory. Too few uses, under 30, tell
// nothing.
std::vector<std::string> GrowthFaults(const std::vector<Survivor>& survivors,
                                      int64_t memory_kib = 2048);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_SURVIVORS_H_
