#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/process.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tramontane {
namespace {

std::atomic<bool> termination_has_begun = false;

// What Abseil's parser ends the process with, translated; -1 outside ParseFlags.
int exit_code_while_parsing = -1;

// Abseil ends the process with 1 for a bad flag and, in some releases, for --help.
void TranslateExit(int /*status*/, void* /*unused*/) {
  if (exit_code_while_parsing < 0) return;
  std::cout.flush();
  std::fflush(nullptr);
  _exit(exit_code_while_parsing);
}

bool AsksForHelp(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (argument == "--") return false;
    if (!absl::StartsWith(argument, "-")) continue;
    argument.remove_prefix(absl::StartsWith(argument, "--") ? 2 : 1);
    if (absl::StartsWith(argument, "help") || argument == "version") return true;
  }
  return false;
}

// Where the sources were compiled from, so that --help shows paths of the repository.
absl::string_view SourceRoot() {
  constexpr absl::string_view kThisFile = "proto/serving/process.cc";
  absl::string_view path = __FILE__;
  if (absl::EndsWith(path, kThisFile)) path.remove_suffix(kThisFile.size());
  return path;
}

std::string NormalizeFilename(absl::string_view path) {
  if (absl::StartsWith(path, SourceRoot())) path.remove_prefix(SourceRoot().size());
  while (absl::StartsWith(path, "./")) path.remove_prefix(2);
  return std::string(path);
}

// Our flags, wherever they are defined; not the libraries' own.
bool IsOwnFlagFile(absl::string_view path) {
  return !absl::StartsWith(path, "/") && !absl::StrContains(path, "absl/");
}

}  // namespace

std::vector<char*> ParseFlags(int argc, char** argv, std::string_view usage) {
  absl::SetProgramUsageMessage(absl::StrCat(
      absl::string_view(usage.data(), usage.size()),
      "\n\nFlags may also be read from a file, one --name=value a line, with --flagfile=PATH, and "
      "from the environment: --fromenv=listen takes --listen from the variable FLAGS_listen."));
  absl::FlagsUsageConfig config;
  config.contains_help_flags = IsOwnFlagFile;
  config.contains_helpshort_flags = IsOwnFlagFile;
  config.contains_helppackage_flags = IsOwnFlagFile;
  config.normalize_filename = NormalizeFilename;
  absl::SetFlagsUsageConfig(config);

  exit_code_while_parsing = AsksForHelp(argc, argv) ? kExitOk : kExitUsage;
  on_exit(TranslateExit, nullptr);
  std::vector<char*> positional = absl::ParseCommandLine(argc, argv);
  exit_code_while_parsing = -1;
  if (!positional.empty()) positional.erase(positional.begin());  // the program's name
  return positional;
}

namespace {

sigset_t TerminationSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void IgnoreLockOrder() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

void BlockTerminationSignals() {
  const sigset_t signals = TerminationSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a peer that went away is an error of the write
}

int WaitForTerminationSignal() {
  const sigset_t signals = TerminationSignals();
  int number = 0;
  while (sigwait(&signals, &number) != 0) {
  }
  termination_has_begun = true;
  // The default disposition ends the process when a second signal reaches this thread.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  return number;
}

bool TerminationHasBegun() { return termination_has_begun; }

int ExitWith(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return ExitWith(status, kExitUsage);
    case absl::StatusCode::kUnavailable:
      return ExitWith(status, kExitUnavailable);
    case absl::StatusCode::kCancelled:
      return ExitWith(status, kExitInterrupted);
    default:
      return ExitWith(status, kExitFailure);
  }
}

int ExitWith(const absl::Status& status, int exit_code) {
  const std::string message(status.message());
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return exit_code;
}

}  // namespace tramontane
