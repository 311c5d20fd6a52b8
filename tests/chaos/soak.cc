#include "tests/chaos/soak.h"

#include <signal.h>

#include <cstdio>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/chaos/chaos_cluster.h"

namespace tramontane {
namespace {

constexpr absl::Duration kDeadFor = absl::Seconds(3);

void Observe(const ChaosCluster& cluster, std::vector<Survivor>& survivors) {
  for (Survivor& survivor : survivors) {
    survivor.uses.push_back(UseOf(cluster.pid(survivor.name)));
  }
}

void PrintProgress(const SoakReport& report, absl::Duration since_start,
                   const std::string& victim) {
  int64_t requests = 0, faults = 0;
  for (const SortReport& sort : report.load) {
    requests += sort.num_requests;
    faults += sort.num_failed + sort.num_different;
  }
  std::string line = absl::StrFormat("%6d s: %d requests, %d failed or different",
                                     absl::ToInt64Seconds(since_start), requests, faults);
  for (const Survivor& survivor : report.survivors) {
    const ProcessUse& use = survivor.uses.back();
    absl::StrAppendFormat(&line, "; %s %d KiB, %d descriptors, %d threads", survivor.name,
                          use.resident_kib, use.descriptors, use.threads);
  }
  std::fprintf(stderr, "%s; kill %s\n", line.c_str(), victim.c_str());
  for (const std::string& fault : LoadFaults(report.load)) {
    std::fprintf(stderr, "          %s\n", fault.c_str());
  }
}

}  // namespace

absl::StatusOr<SoakReport> Soak(const SoakOptions& options) {
  const auto cluster =
      ChaosCluster::Start({.experts = {"0-3", "4-7", "0-3", "4-7"}, .num_attention_workers = 2});
  if (!cluster.ok()) return cluster.status();
  auto load = MixedLoad::Start((*cluster)->stub(), options.load);
  if (!load.ok()) return load.status();
  SoakReport report;
  for (const char* name : {"coordinator", "attention-0", "expert-0"}) {
    report.survivors.push_back({name, {}});
  }
  const std::vector<std::string> victims = {"expert-1", "expert-2", "expert-3", "attention-1"};
  std::mt19937 random(1);
  const absl::Time start = absl::Now();
  while (absl::Now() + options.kill_every <= start + options.duration) {
    absl::SleepFor(options.kill_every - kDeadFor);
    Observe(**cluster, report.survivors);
    report.load = (*load)->Report();
    const std::string& victim = victims[random() % victims.size()];
    PrintProgress(report, absl::Now() - start, victim);
    (*cluster)->Signal(victim, SIGKILL);
    ++report.num_kills;
    absl::SleepFor(kDeadFor);
    const absl::Status restarted = (*cluster)->Restart(victim);
    if (!restarted.ok()) return restarted;
  }
  const std::unique_ptr<MixedLoad> ended = *std::move(load);
  ended->Stop();
  report.load = ended->Report();
  const absl::Status terminated = (*cluster)->TerminateAll();
  if (!terminated.ok()) return terminated;
  return report;
}

std::string SoakTables(const SoakReport& report) {
  std::string text =
      "| clients | requests | cut short, as meant | failed | other tokens | tokens | longest stall "
      "|\n| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const SortReport& sort : report.load) {
    absl::StrAppendFormat(&text, "| %s | %d | %d | %d | %d | %d | %.2f s |\n", sort.sort,
                          sort.num_requests, sort.num_cut, sort.num_failed, sort.num_different,
                          sort.num_tokens, absl::ToDoubleSeconds(sort.longest_stall));
  }
  absl::StrAppendFormat(&text,
                        "\n%d kills. In each third of the time, memory at least, the others at "
                        "most:\n\n| process | resident "
                        "MiB | descriptors | threads |\n| --- | --- | --- | --- |\n",
                        report.num_kills);
  for (const Survivor& survivor : report.survivors) {
    absl::StrAppendFormat(&text, "| %s %s\n", survivor.name, ThirdsColumns(survivor));
  }
  return text;
}

std::vector<std::string> SoakFaults(const SoakReport& report) {
  std::vector<std::string> faults = LoadFaults(report.load);
  for (std::string& fault : GrowthFaults(report.survivors)) faults.push_back(std::move(fault));
  return faults;
}

}  // namespace tramontane
