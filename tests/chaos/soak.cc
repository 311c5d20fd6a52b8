#include "tests/chaos/soak.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/chaos/chaos_cluster.h"

namespace tramontane {
namespace {

constexpr absl::Duration kDeadFor = absl::Seconds(3);

int64_t CountEntries(const std::string& directory) {
  std::error_code error;
  int64_t count = 0;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return count;
}

ProcessUse UseOf(pid_t pid, absl::Duration since_start) {
  const std::string proc = absl::StrCat("/proc/", pid);
  ProcessUse use{.since_start = since_start};
  std::ifstream statm(proc + "/statm");
  int64_t size_pages = 0;
  statm >> size_pages >> use.resident_kib;
  use.resident_kib *= sysconf(_SC_PAGESIZE) / 1024;
  use.descriptors = CountEntries(proc + "/fd");
  use.threads = CountEntries(proc + "/task");
  return use;
}

}  // namespace

absl::StatusOr<SoakReport> Soak(const SoakOptions& options) {
  const auto cluster =
      ChaosCluster::Start({.experts = {"0-3", "4-7", "0-3", "4-7"}, .num_attention_workers = 2});
  if (!cluster.ok()) return cluster.status();
  const auto load = SteadyLoad::Start((*cluster)->stub(), options.load);
  if (!load.ok()) return load.status();
  std::vector<std::string> names = (*cluster)->Names("expert-");
  for (const std::string& name : (*cluster)->Names("attention-")) names.push_back(name);

  SoakReport report;
  std::mt19937 random(1);
  const absl::Time start = absl::Now();
  while (absl::Now() + options.kill_every < start + options.duration) {
    absl::SleepFor(options.kill_every - kDeadFor);
    report.coordinator.push_back(UseOf((*cluster)->coordinator_pid(), absl::Now() - start));
    const ProcessUse& use = report.coordinator.back();
    const std::string& name = names[random() % names.size()];
    std::fprintf(stderr, "%6lld s: coordinator %lld KiB, %lld descriptors, %lld threads; kill %s\n",
                 static_cast<long long>(absl::ToInt64Seconds(use.since_start)),
                 static_cast<long long>(use.resident_kib), static_cast<long long>(use.descriptors),
                 static_cast<long long>(use.threads), name.c_str());
    (*cluster)->Signal(name, SIGKILL);
    ++report.num_kills;
    absl::SleepFor(kDeadFor);
    const absl::Status restarted = (*cluster)->Restart(name);
    if (!restarted.ok()) return restarted;
  }
  report.load = (*load)->Report(start, absl::Now());
  return report;
}

}  // namespace tramontane
