#include "tests/chaos/soak.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

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
}

// The most in each third of the time.
std::vector<ProcessUse> Thirds(const Survivor& survivor) {
  std::vector<ProcessUse> thirds(3);
  for (size_t i = 0; i < survivor.uses.size(); ++i) {
    ProcessUse& third = thirds[i * 3 / survivor.uses.size()];
    third = Most(third, survivor.uses[i]);
  }
  return thirds;
}

std::string Slashes(const std::vector<ProcessUse>& thirds, int64_t ProcessUse::*what,
                    int64_t unit = 1) {
  return absl::StrFormat("%d / %d / %d", thirds[0].*what / unit, thirds[1].*what / unit,
                         thirds[2].*what / unit);
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
                        "\n%d kills. At most, in each third of the time:\n\n| process | resident "
                        "MiB | descriptors | threads |\n| --- | --- | --- | --- |\n",
                        report.num_kills);
  for (const Survivor& survivor : report.survivors) {
    const std::vector<ProcessUse> thirds = Thirds(survivor);
    absl::StrAppendFormat(&text, "| %s | %s | %s | %s |\n", survivor.name,
                          Slashes(thirds, &ProcessUse::resident_kib, 1024),
                          Slashes(thirds, &ProcessUse::descriptors),
                          Slashes(thirds, &ProcessUse::threads));
  }
  return text;
}

std::vector<std::string> SoakFaults(const SoakReport& report) {
  constexpr int64_t kMoreAllowed = 4;  // connections and their threads that come and go
  constexpr int64_t kMemoryDivisor = 20, kMemoryAllowedKib = 2048;
  constexpr int64_t kKillsToJudge = 30;
  std::vector<std::string> faults;
  for (const SortReport& sort : report.load) {
    if (sort.num_failed + sort.num_different == 0) continue;
    faults.push_back(absl::StrFormat("%s: %d failed, %d different; first failure: %s", sort.sort,
                                     sort.num_failed, sort.num_different, sort.first_failure));
  }
  if (report.num_kills < kKillsToJudge) return faults;
  for (const Survivor& survivor : report.survivors) {
    const std::vector<ProcessUse> thirds = Thirds(survivor);
    const ProcessUse &second = thirds[1], &last = thirds[2];
    if (last.descriptors <= second.descriptors + kMoreAllowed &&
        last.threads <= second.threads + kMoreAllowed &&
        last.resident_kib <= second.resident_kib + std::max(second.resident_kib / kMemoryDivisor,
                                                            kMemoryAllowedKib)) {
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
