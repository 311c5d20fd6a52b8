// How many processors this process may use at once.
#ifndef TRAMONTANE_KERNELS_PROCESSOR_COUNT_H_
#define TRAMONTANE_KERNELS_PROCESSOR_COUNT_H_

#include <string>

namespace tramontane {

// The processors of the affinity mask (taskset, cpusets), or fewer where a control group grants a
// smaller share of CPU time (containers). At least 1.
int ProcessorCount();

// Processors, rounded up, that a cgroup's limit grants: `cpu_max` as in cgroup v2's cpu.max,
// "QUOTA PERIOD" in microseconds. 0 where there is no limit ("max …") or no such text.
int ProcessorsOfCpuMax(const std::string& cpu_max);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_PROCESSOR_COUNT_H_
