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
inline constexpr int kExitInterrupted = 130;

// Parses Abseil flags; `usage` is what --help says first. --help lists this program's own flags,
// wherever they are defined. Returns the positional arguments, without the program's name. Bad
// flags end the process with kExitUsage, --help with kExitOk.
std::vector<char*> ParseFlags(int argc, char** argv, std::string_view usage);

// The distribution's Abseil, whose locks gRPC's are, remembers in which order locks were taken, at
// some cost, and ends the process where two orders could become a deadlock, if only in theory. A
// server lives on: turns that off. Call it first in main.
void IgnoreLockOrder();

// Blocks SIGTERM and SIGINT in this thread and all that it starts later: call it first in main.
void BlockTerminationSignals();
// Waits for one of them and returns its number. A second one ends the process at once.
int WaitForTerminationSignal();

// Whether that has returned.
bool TerminationHasBegun();

// Writes "error: …" to stderr and maps the status to an exit code: OK to kExitOk, INVALID_ARGUMENT
// and FAILED_PRECONDITION to kExitUsage, UNAVAILABLE to kExitUnavailable, CANCELLED to
// kExitInterrupted, others to kExitFailure.
int ExitWith(const absl::Status& status);
// The same for a caller that knows better, such as kExitCheckpoint.
int ExitWith(const absl::Status& status, int exit_code);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_PROCESS_H_
