#include "proto/serving/process_metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace tramontane {
namespace {

// Each metric's value by its name; none has labels. Nothing but the test may run in the process
// while it counts threads and descriptors: an HTTP server would close a connection when it likes.
std::map<std::string, double> Values() {
  std::map<std::string, double> values;
  for (const prometheus::MetricFamily& family : ProcessMetrics().Collect()) {
    EXPECT_EQ(family.metric.size(), 1) << family.name;
    const prometheus::ClientMetric& metric = family.metric.front();
    values[family.name] =
        family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
  }
  return values;
}

TEST(ProcessMetricsTest, TellWhatTheProcessUses) {
  std::thread([] {}).join();  // the thread sanitizer starts its own with a process' first
  const std::map<std::string, double> before = Values();
  // 64 MiB that are touched, ten descriptors and a thread more.
  std::vector<char> memory(size_t{64} << 20, 1);
  std::vector<int> descriptors;
  for (int i = 0; i < 10; ++i) descriptors.push_back(dup(STDERR_FILENO));
  std::promise<void> done;
  std::thread thread([&done] { done.get_future().wait(); });
  const std::map<std::string, double> after = Values();
  done.set_value();
  thread.join();
  for (const int descriptor : descriptors) close(descriptor);

  const auto grown = [&](const char* name) { return after.at(name) - before.at(name); };
  EXPECT_GE(grown("process_resident_memory_bytes"), 60 << 20);
  EXPECT_GE(grown("process_virtual_memory_bytes"), 60 << 20);
  EXPECT_EQ(grown("process_open_fds"), 10);
  EXPECT_EQ(grown("process_threads"), 1);
  EXPECT_GE(grown("process_cpu_seconds_total"), 0);
  EXPECT_GE(after.at("process_max_fds"), after.at("process_open_fds"));
  const double started = after.at("process_start_time_seconds");
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_LE(started, now + 1);
  EXPECT_GE(started, now - 3600);
}

}  // namespace
}  // namespace tramontane
