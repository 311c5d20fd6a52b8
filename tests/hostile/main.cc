// Throws damaged messages at every port of a running system, while others use it as it is meant.
#include "proto/serving/abseil_flag_types.h"

#include <google/protobuf/stubs/logging.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "proto/serving/memory_trim.h"
#include "proto/serving/process.h"
#include "tests/chaos/mixed_load.h"
#include "tests/chaos/survivors.h"
#include "tests/hostile/hostile_system.h"

ABSL_FLAG(int64_t, messages, 100'000, "Hostile messages for each port.");
ABSL_FLAG(uint64_t, seed, 1, "Of all that is drawn: the same seed, the same messages.");
ABSL_FLAG(int, clients, 4, "Clients that ask for known answers meanwhile.");
ABSL_FLAG(std::string, port, "", "Only the ports whose names contain this; empty: all.");
ABSL_FLAG(std::string, markdown_out, "", "File for the table; empty: none but the one printed.");

namespace tramontane {
namespace {

constexpr absl::Duration kUseInterval = absl::Milliseconds(250);
// Connections that the attack has dropped are closed by then.
constexpr absl::Duration kCalmTime = absl::Seconds(2);
constexpr int64_t kMoreDescriptors = 8, kMoreThreads = 16;
// What a log may grow by for a hostile message.
constexpr int64_t kLogBytesPerMessage = 100;
constexpr char kTableHead[] =
    "| port | messages | calls | connections | calls ended with | faults | seconds | resident MiB "
    "| "
    "descriptors | threads | log bytes |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";

int64_t LogBytes(const ChildProcess& process) {
  std::error_code error;
  const auto size = std::filesystem::file_size(process.directory() + "/stderr", error);
  return error ? 0 : static_cast<int64_t>(size);
}

std::string Endings(const AttackReport& report) {
  std::string text;
  for (const auto& [code, count] : report.endings) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", code, " ", count);
  }
  return text.empty() ? "-" : text;
}

struct Outcome {
  std::string row;
  std::vector<std::string> faults;
};

Outcome AttackPort(const HostilePort& port) {
  const pid_t pid = port.process->pid();
  Survivor survivor{port.name, {}};
  const int64_t log_before = LogBytes(*port.process);
  std::atomic<bool> over{false};
  std::thread observer([&] {
    while (!over) {
      survivor.uses.push_back(UseOf(pid));
      absl::SleepFor(kUseInterval);
    }
  });
  AttackOptions options = port.attack;
  options.num_messages = absl::GetFlag(FLAGS_messages);
  options.seed = absl::GetFlag(FLAGS_seed);
  const AttackReport report = Attack(options);
  over = true;
  observer.join();
  // The log is the process's: what its metrics port adds is counted with its RPC port.
  const bool is_rpc = !port.attack.methods.empty();
  const int64_t log_bytes = LogBytes(*port.process) - log_before;
  Outcome outcome;
  outcome.row =
      absl::StrFormat("| %s | %d | %d | %d | %s | %d | %.0f %s %s |", port.name,
                      report.num_messages, report.num_calls, report.num_connections,
                      Endings(report), report.num_faults, absl::ToDoubleSeconds(report.duration),
                      ThirdsColumns(survivor), is_rpc ? absl::StrCat(log_bytes) : "-");
  outcome.faults = report.faults;
  for (std::string& fault : GrowthFaults({survivor}, MemoryTrim::kGrowthBytes / 1024))
    outcome.faults.push_back(std::move(fault));
  if (is_rpc && log_bytes > kLogBytesPerMessage * report.num_messages) {
    outcome.faults.push_back(absl::StrFormat("%s: %d messages made its log grow by %d bytes",
                                             port.name, report.num_messages, log_bytes));
  }
  return outcome;
}

// One after the other, as a thread of its own.
std::vector<Outcome> AttackPorts(const std::vector<HostilePort>& ports) {
  std::vector<Outcome> outcomes;
  for (const HostilePort& port : ports) {
    outcomes.push_back(AttackPort(port));
    std::printf("%s\n", outcomes.back().row.c_str());
    std::fflush(stdout);
  }
  return outcomes;
}

// RPC ports and metrics ports at the same time.
std::vector<Outcome> AttackAll(const std::vector<HostilePort>& ports) {
  std::vector<HostilePort> rpc, metrics;
  for (const HostilePort& port : ports) {
    (port.attack.methods.empty() ? metrics : rpc).push_back(port);
  }
  std::vector<Outcome> outcomes, others;
  std::thread beside([&] { others = AttackPorts(metrics); });
  outcomes = AttackPorts(rpc);
  beside.join();
  for (Outcome& outcome : others) outcomes.push_back(std::move(outcome));
  return outcomes;
}

// What processes hold of attackers that have gone.
std::vector<std::string> LeftOver(const std::vector<HostilePort>& ports,
                                  const std::vector<ProcessUse>& before) {
  std::vector<std::string> faults;
  for (size_t i = 0; i < ports.size(); ++i) {
    const ProcessUse after = UseOf(ports[i].process->pid());
    if (after.descriptors > 0 && after.descriptors <= before[i].descriptors + kMoreDescriptors &&
        after.threads <= before[i].threads + kMoreThreads) {
      continue;
    }
    faults.push_back(absl::StrFormat(
        "%s: %d descriptors and %d threads before, %d and %d after (0: it has ended)",
        ports[i].name, before[i].descriptors, before[i].threads, after.descriptors, after.threads));
  }
  return faults;
}

std::vector<HostilePort> ChosenPorts(HostileSystem& system) {
  std::vector<HostilePort> ports = system.ports();
  std::erase_if(ports, [](const HostilePort& port) {
    return port.name.find(absl::GetFlag(FLAGS_port)) == std::string::npos;
  });
  return ports;
}

absl::StatusOr<std::vector<std::string>> Run(std::string& table) {
  const auto system = HostileSystem::Start();
  if (!system.ok()) return system.status();
  MixedLoadOptions load_options;
  load_options.num_clients = absl::GetFlag(FLAGS_clients);
  load_options.pause = absl::Milliseconds(200);
  const auto load = MixedLoad::Start((*system)->stub(), load_options);
  if (!load.ok()) return load.status();
  const std::vector<HostilePort> ports = ChosenPorts(**system);
  std::vector<ProcessUse> before;
  for (const HostilePort& port : ports) before.push_back(UseOf(port.process->pid()));
  std::vector<std::string> faults;
  for (Outcome& outcome : AttackAll(ports)) {
    absl::StrAppend(&table, outcome.row, "\n");
    for (std::string& fault : outcome.faults) faults.push_back(std::move(fault));
  }
  (*load)->Stop();
  absl::SleepFor(kCalmTime);
  for (std::string& fault : LeftOver(ports, before)) faults.push_back(std::move(fault));
  int64_t requests = 0;
  for (const SortReport& sort : (*load)->Report()) requests += sort.num_requests;
  absl::StrAppend(&table, "\n", requests, " requests with known answers meanwhile.\n");
  if (requests == 0) faults.push_back("no request was answered meanwhile");
  for (std::string& fault : LoadFaults((*load)->Report())) faults.push_back(std::move(fault));
  const absl::Status terminated = (*system)->Terminate();
  if (!terminated.ok()) faults.push_back(std::string(terminated.message()));
  return faults;
}

int Main() {
  std::string table = kTableHead;
  const absl::StatusOr<std::vector<std::string>> faults = Run(table);
  if (!faults.ok()) {
    std::fprintf(stderr, "error: %s\n", faults.status().ToString().c_str());
    return 1;
  }
  std::printf("\n%s", table.c_str());
  for (const std::string& fault : *faults) std::printf("FAULT: %s\n", fault.c_str());
  const std::string out = absl::GetFlag(FLAGS_markdown_out);
  if (!out.empty()) std::ofstream(out) << table;
  return faults->empty() ? 0 : 1;
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) {
  tramontane::ParseFlags(
      argc, argv,
      "Starts a coordinator, attention workers and expert workers, and attacks each of their "
      "ports:\n"
      "damaged, random and oversized messages of every method, unknown methods, abandoned calls,\n"
      "broken HTTP. Exit code: 0 where every process lived and ended with 0, calls ended as they\n"
      "must, nothing grew, and no request with a known answer failed beside it; 1 else.");
  google::protobuf::SetLogHandler(nullptr);  // of strings that are not UTF-8: they are ours
  return tramontane::Main();
}
