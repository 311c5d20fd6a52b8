// What is known of a worker in another process, for placement tables, metrics and logs.
#ifndef TRAMONTANE_ATTENTION_WORKER_WORKER_STATE_H_
#define TRAMONTANE_ATTENTION_WORKER_WORKER_STATE_H_

#include <string_view>

#include "absl/status/status.h"

namespace tramontane {

enum class WorkerState {
  kConnecting,  // the first attempt has not ended yet
  kProbing,     // connected and described; it is asked something whose answer is known
  kServing,     // used
  kSetAside,    // broke, fell silent or answered wrongly; it is probed again after a delay
  kDraining,    // says that it shuts down, or has left the list: no new work
  kGone,        // not reachable, or refused; attempts go on
};

inline constexpr WorkerState kWorkerStates[] = {WorkerState::kConnecting, WorkerState::kProbing,
                                                WorkerState::kServing,    WorkerState::kSetAside,
                                                WorkerState::kDraining,   WorkerState::kGone};

// "connecting", "probing", "serving", "set_aside", "draining", "gone".
std::string_view WorkerStateName(WorkerState state);

// UNAVAILABLE of a worker that shuts down of its own will: no fault, nothing is lost.
absl::Status DrainingError(std::string_view message);
// Whether `status` comes from DrainingError.
bool IsDraining(const absl::Status& status);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_WORKER_STATE_H_
