#include "proto/serving/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

namespace tramontane {
namespace {

using prometheus::MetricType;

// Of proc(5)'s /proc/PID/stat, what follows the name in parentheses.
struct ProcessStat {
  double cpu_seconds = 0;
  int64_t num_threads = 0;
  double start_seconds = 0;  // since boot
  uint64_t virtual_bytes = 0;
  int64_t resident_pages = 0;
};

std::optional<ProcessStat> ReadStat() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  double user = 0, system = 0, start = 0;
  ProcessStat stat;
  fields >> user >> system;  // 14, 15
  for (int field = 16; field < 20; ++field) fields >> skipped;
  fields >> stat.num_threads >> skipped >> start;       // 20, 21, 22
  fields >> stat.virtual_bytes >> stat.resident_pages;  // 23, 24
  if (!fields) return std::nullopt;
  stat.cpu_seconds = (user + system) / ticks_per_second;
  stat.start_seconds = start / ticks_per_second;
  return stat;
}

// When the machine booted, in seconds since 1970.
std::optional<double> BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> CountDescriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (directory == nullptr) return std::nullopt;
  int count = 0;
  while (readdir(directory.get()) != nullptr) ++count;
  return count - 3;  // ".", ".." and the directory itself
}

double MaxDescriptors() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                         : static_cast<double>(limit.rlim_cur);
}

prometheus::MetricFamily Family(const char* name, const char* help, MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return {.name = name, .help = help, .type = type, .metric = {metric}};
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  const auto gauge = [&families](const char* name, const char* help, double value) {
    families.push_back(Family(name, help, MetricType::Gauge, value));
  };
  if (const std::optional<ProcessStat> stat = ReadStat()) {
    families.push_back(Family("process_cpu_seconds_total", "User and system CPU time, in seconds.",
                              MetricType::Counter, stat->cpu_seconds));
    gauge("process_resident_memory_bytes", "Resident memory, in bytes.",
          static_cast<double>(stat->resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
    gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.",
          static_cast<double>(stat->virtual_bytes));
    gauge("process_threads", "Threads.", static_cast<double>(stat->num_threads));
    if (const std::optional<double> boot = BootTime()) {
      gauge("process_start_time_seconds", "When the process started, in seconds since 1970.",
            *boot + stat->start_seconds);
    }
  }
  if (const std::optional<double> descriptors = CountDescriptors()) {
    gauge("process_open_fds", "Open file descriptors.", *descriptors);
  }
  gauge("process_max_fds", "Most file descriptors that the process may open.", MaxDescriptors());
  return families;
}

}  // namespace tramontane
