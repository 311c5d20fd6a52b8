#include "kernels/processor_count.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <thread>

namespace tramontane {
namespace {

int ProcessorsOfAffinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return CPU_COUNT(&mask);
  return static_cast<int>(std::thread::hardware_concurrency());
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// This process's group below `root`, as cgroup v2 names it ("0::/a/b").
std::string CgroupV2Path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  }
  return "";
}

// The least limit of the process's group and those above it.
int ProcessorsOfCgroupV2() {
  int least = 0;
  for (std::string path = CgroupV2Path();; path.resize(path.rfind('/'))) {
    const int limit = ProcessorsOfCpuMax(FirstLine("/sys/fs/cgroup" + path + "/cpu.max"));
    if (limit > 0) least = least == 0 ? limit : std::min(least, limit);
    if (path.empty() || path.rfind('/') == std::string::npos) return least;
  }
}

int ProcessorsOfCgroupV1() {
  const std::string root = "/sys/fs/cgroup/cpu/cpu.cfs_";
  return ProcessorsOfCpuMax(FirstLine(root + "quota_us") + " " + FirstLine(root + "period_us"));
}

}  // namespace

int ProcessorsOfCpuMax(const std::string& cpu_max) {
  std::istringstream text(cpu_max);
  int64_t quota = 0;
  int64_t period = 0;
  if (!(text >> quota >> period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>((quota - 1) / period + 1);
}

int ProcessorCount() {
  int count = std::max(1, ProcessorsOfAffinity());
  for (const int limit : {ProcessorsOfCgroupV2(), ProcessorsOfCgroupV1()}) {
    if (limit > 0) count = std::min(count, limit);
  }
  return count;
}

}  // namespace tramontane
