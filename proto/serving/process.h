// Process life: flags, signals, exit codes.
#ifndef TRAMONTANE_PROTO_SERVING_PROCESS_H_
#define TRAMONTANE_PROTO_SERVING_PROCESS_H_

#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace tramontane {

// Exit codes of every binary, in docs/operations.md too.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;      // a request or a peer failed
inline constexpr int kExitUsage = 2;        // flags or arguments
inline constexpr int kExitCheckpoint = 3;   // the model directory
inline constexpr int kExitUnavailable = 4;  // cannot listen, or a peer cannot be reached
inline constexpr int kExitDevice = 5;       // the device that it computes on failed
inline constexpr int kExitMemory = 6;       // too little memory for what is to be loaded
inline constexpr int kExitInterrupted = 130;

// Parses Abseil flags; `usage` is what --help says first. --help lists this program's own flags,
// wherever they are defined. Returns the positional arguments, without the program's name. Bad
// flags end the process with kExitUsage, --help with kExitOk.
std::vector<char*> ParseFlags(int argc, char** argv, std::string_view usage);

// The distribution's Abseil, whose locks gRPC's are, remembers in which order locks were taken, at
// some cost, and ends the process where two orders could become a deadlock, if only in theory. A
// server lives on: turns that off. Call it first in main.
void IgnoreLockOrder();

// Has a thread of its own take SIGTERM and SIGINT: call it first in main, for the signals to be
// blocked in all threads that start later. Until HoldTerminationSignal one of them ends the process
// at once, with kExitInterrupted: there is nothing to drain.
void TakeTerminationSignals();
// From now on the first of them is held for WaitForTerminationSignal.
void HoldTerminationSignal();
// Waits for that one and returns its number. A second one ends the process at once, with
// kExitInterrupted.
int WaitForTerminationSignal();

// Whether the first one has come.
bool TerminationHasBegun();

// OK is kExitOk, INVALID_ARGUMENT and FAILED_PRECONDITION are kExitUsage, UNAVAILABLE is
// kExitUnavailable, CANCELLED kExitInterrupted, others are kExitFailure.
int ExitCodeOf(const absl::Status& status);
// Writes "error: …" to stderr, unless `status` is OK, and returns its exit code.
int ExitWith(const absl::Status& status);
// The same for a caller that knows better, such as kExitCheckpoint.
int ExitWith(const absl::Status& status, int exit_code);
// The same while a process loads what it serves: RESOURCE_EXHAUSTED is memory, and kExitMemory.
int ExitWithLoading(const absl::Status& status, int exit_code);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_PROCESS_H_
