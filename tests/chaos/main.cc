// Breaks a running system in every way that it promises to survive, and tells what clients saw.
#include "proto/serving/abseil_flag_types.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "proto/serving/process.h"
#include "tests/chaos/scenario.h"
#include "tests/chaos/soak.h"
#include "tests/chaos/steady_load.h"

ABSL_FLAG(std::string, scenarios, "all", "Names, separated by commas, or all; see --list.");
ABSL_FLAG(bool, list, false, "Print the scenarios and exit.");
ABSL_FLAG(double, scale, 1, "How long faults last, in units of the short form.");
ABSL_FLAG(double, quiet_s, 3, "Seconds of undisturbed load before each fault, and after it.");
ABSL_FLAG(int, clients, 8, "Streams that run at once.");
ABSL_FLAG(double, soak_s, 0,
          "Instead of scenarios: so many seconds of mixed load with a kill now and then; 0: "
          "scenarios.");
ABSL_FLAG(double, kill_every_s, 20,
          "In a soak: from one kill to the next, in seconds, 5 at least.");
ABSL_FLAG(int, pause_ms, 0, "In a soak: each client's mean pause between its requests; 0: none.");
ABSL_FLAG(std::string, markdown_out, "", "File for the table; empty: none but the one printed.");

namespace tramontane {
namespace {

// Full speed again: so much of the speed before the fault, over a second.
constexpr double kFullSpeed = 0.8;
constexpr absl::Duration kSpeedWindow = absl::Seconds(1);
constexpr absl::Duration kLeastKillEvery = absl::Seconds(5);
constexpr absl::Duration kRecoveryTimeout = absl::Seconds(60);

struct Outcome {
  std::string name;
  absl::Status status;  // of the scenario itself
  LoadReport before, after;
  absl::Duration stall_goal;
  absl::Duration recovery;  // from the fault's begin to full speed; infinite: never

  bool passed() const {
    return status.ok() && before.num_failed + after.num_failed == 0 &&
           before.num_different + after.num_different == 0;
  }
};

// The first time from which a second of load is as fast as before.
absl::Duration Recovery(const SteadyLoad& load, absl::Time fault, absl::Time until,
                        double speed_before) {
  for (absl::Time t = fault; t + kSpeedWindow <= until; t += absl::Milliseconds(100)) {
    if (load.Speed(t, t + kSpeedWindow) >= kFullSpeed * speed_before) return t - fault;
  }
  return absl::InfiniteDuration();
}

Outcome Run(const Scenario& scenario) {
  const absl::Duration quiet = absl::Seconds(absl::GetFlag(FLAGS_quiet_s));
  Outcome outcome;
  outcome.name = scenario.name;
  outcome.stall_goal = scenario.stall_goal;
  const auto cluster = ChaosCluster::Start(scenario.system);
  if (!cluster.ok()) {
    outcome.status = cluster.status();
    return outcome;
  }
  SteadyLoadOptions options;
  options.num_clients = absl::GetFlag(FLAGS_clients);
  const auto load = SteadyLoad::Start((*cluster)->stub(), options);
  if (!load.ok()) {
    outcome.status = load.status();
    return outcome;
  }
  const absl::Time start = absl::Now();
  absl::SleepFor(quiet);
  const absl::Time fault = absl::Now();
  outcome.status = scenario.disturb(**cluster, absl::GetFlag(FLAGS_scale));
  const double speed_before = (*load)->Speed(start, fault);
  const absl::Time mended = absl::Now();
  // A stall that has not ended yet is waited for: it counts in full.
  do {
    absl::SleepFor(absl::Milliseconds(200));
    outcome.recovery = Recovery(**load, fault, absl::Now(), speed_before);
  } while (outcome.recovery == absl::InfiniteDuration() && absl::Now() < mended + kRecoveryTimeout);
  absl::SleepFor(quiet);
  const absl::Time end = absl::Now();
  outcome.before = (*load)->Report(start, fault);
  outcome.after = (*load)->Report(fault, end);
  outcome.after.longest_stall = std::max(outcome.after.longest_stall, (*load)->StalledNow(end));
  return outcome;
}

std::string Seconds(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "-";
  return absl::StrFormat("%.2f s", absl::ToDoubleSeconds(duration));
}

std::string TableRow(const Outcome& outcome) {
  return absl::StrFormat("| %s | %d | %d | %d | %s | %s | %s | %s |", outcome.name,
                         outcome.before.num_requests + outcome.after.num_requests,
                         outcome.before.num_failed + outcome.after.num_failed,
                         outcome.before.num_different + outcome.after.num_different,
                         Seconds(outcome.before.longest_stall),
                         Seconds(outcome.after.longest_stall), Seconds(outcome.stall_goal),
                         Seconds(outcome.recovery));
}

std::vector<Scenario> ChosenScenarios() {
  const std::string chosen = absl::GetFlag(FLAGS_scenarios);
  if (chosen == "all") return AllScenarios();
  const std::vector<std::string> names = absl::StrSplit(chosen, ',');
  std::vector<Scenario> scenarios;
  for (const Scenario& scenario : AllScenarios()) {
    if (std::find(names.begin(), names.end(), scenario.name) != names.end()) {
      scenarios.push_back(scenario);
    }
  }
  if (scenarios.size() == names.size()) return scenarios;
  std::fprintf(stderr, "error: --scenarios=%s: expected names that --list shows\n", chosen.c_str());
  return {};
}

int RunAll() {
  const std::vector<Scenario> scenarios = ChosenScenarios();
  if (scenarios.empty()) return 2;
  std::vector<std::string> lines = {
      "| scenario | requests | failed | other tokens | longest stall before | after | goal | full "
      "speed after |",
      "| --- | --- | --- | --- | --- | --- | --- | --- |"};
  std::printf("%s\n", absl::StrJoin(lines, "\n").c_str());
  bool passed = true;
  for (const Scenario& scenario : scenarios) {
    const Outcome outcome = Run(scenario);
    lines.push_back(TableRow(outcome));
    std::printf("%s\n", lines.back().c_str());
    if (!outcome.status.ok()) {
      std::printf("%s: %s\n", scenario.name.c_str(), outcome.status.ToString().c_str());
    }
    const std::string& failure = outcome.after.first_failure.empty() ? outcome.before.first_failure
                                                                     : outcome.after.first_failure;
    if (!failure.empty())
      std::printf("%s: first failure: %s\n", scenario.name.c_str(), failure.c_str());
    std::fflush(stdout);
    passed = passed && outcome.passed();
  }
  const std::string out = absl::GetFlag(FLAGS_markdown_out);
  if (!out.empty()) std::ofstream(out) << absl::StrJoin(lines, "\n") << "\n";
  return passed ? 0 : 1;
}

int RunSoak() {
  SoakOptions options;
  options.duration = absl::Seconds(absl::GetFlag(FLAGS_soak_s));
  options.kill_every = absl::Seconds(absl::GetFlag(FLAGS_kill_every_s));
  options.load.num_clients = absl::GetFlag(FLAGS_clients);
  options.load.pause = absl::Milliseconds(absl::GetFlag(FLAGS_pause_ms));
  if (options.kill_every < kLeastKillEvery) {
    std::fprintf(stderr, "error: --kill_every_s=%g: expected 5 at least\n",
                 absl::GetFlag(FLAGS_kill_every_s));
    return 2;
  }
  const absl::StatusOr<SoakReport> report = Soak(options);
  if (!report.ok()) {
    std::fprintf(stderr, "error: %s\n", report.status().ToString().c_str());
    return 1;
  }
  const std::string tables = SoakTables(*report);
  std::printf("%s", tables.c_str());
  const std::string out = absl::GetFlag(FLAGS_markdown_out);
  if (!out.empty()) std::ofstream(out) << tables;
  const std::vector<std::string> faults = SoakFaults(*report);
  for (const std::string& fault : faults) std::printf("FAULT: %s\n", fault.c_str());
  return faults.empty() ? 0 : 1;
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) {
  tramontane::ParseFlags(
      argc, argv,
      "Starts systems of real processes, keeps them under load, breaks them, and prints what the\n"
      "clients saw. Exit code: 0 where no request failed and no token differed (and, in a soak,\n"
      "no process grew), 1 where one did, 2 for wrong flags.");
  if (absl::GetFlag(FLAGS_list)) {
    for (const tramontane::Scenario& scenario : tramontane::AllScenarios()) {
      std::printf("%-26s %s\n", scenario.name.c_str(), scenario.description.c_str());
    }
    return 0;
  }
  return absl::GetFlag(FLAGS_soak_s) > 0 ? tramontane::RunSoak() : tramontane::RunAll();
}
