#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/process.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tramontane {
namespace {

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

// Takes them on a thread of its own: whether the main thread loads, serves or drains.
class TerminationSignals {
 public:
  static TerminationSignals& Get() {
    static auto* const signals = new TerminationSignals;  // its thread has no end
    return *signals;
  }

  void Take() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread([this, signals] {
      for (;;) {
        int number = 0;
        if (sigwait(&signals, &number) == 0) OnSignal(number);
      }
    }).detach();
  }

  void Hold() {
    const std::lock_guard<std::mutex> lock(mutex_);
    hold_ = true;
  }

  int Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    hold_ = true;
    held_changed_.wait(lock, [this] { return held_ != 0; });
    return held_;
  }

  bool has_begun() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_ != 0;
  }

 private:
  // Not by the signal's default action, which the first process of a container does not have.
  void OnSignal(int number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!hold_ || held_ != 0) _exit(kExitInterrupted);
    held_ = number;
    held_changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable held_changed_;
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  int held_ ABSL_GUARDED_BY(mutex_) = 0;  // the first signal; 0: none yet
};

}  // namespace

void IgnoreLockOrder() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

void TakeTerminationSignals() {
  TerminationSignals::Get().Take();
  signal(SIGPIPE, SIG_IGN);  // a peer that went away is an error of the write
}

void HoldTerminationSignal() { TerminationSignals::Get().Hold(); }

int WaitForTerminationSignal() { return TerminationSignals::Get().Wait(); }

bool TerminationHasBegun() { return TerminationSignals::Get().has_begun(); }

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailure;
  }
}

int ExitWith(const absl::Status& status) {
  return status.ok() ? kExitOk : ExitWith(status, ExitCodeOf(status));
}

int ExitWith(const absl::Status& status, int exit_code) {
  const std::string message(status.message());
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return exit_code;
}

int ExitWithLoading(const absl::Status& status, int exit_code) {
  return ExitWith(status, absl::IsResourceExhausted(status) ? kExitMemory : exit_code);
}

}  // namespace tramontane
