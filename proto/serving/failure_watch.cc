#include "proto/serving/failure_watch.h"

#include <unistd.h>
#include <csignal>

#include <utility>

#include "model/log.h"
#include "proto/serving/process.h"

namespace tramontane {

FailureWatch::FailureWatch(std::function<bool()> failed, absl::Duration interval)
    : failed_(std::move(failed)), task_(interval, [this] { Look(); }) {}

int FailureWatch::ExitCode(int exit_code) const { return found_ ? kExitDevice : exit_code; }

void FailureWatch::Look() {
  if (found_ || !failed_()) return;
  found_ = true;
  Log(LogLevel::kError, "the device has failed: this process drains and ends", {});
  if (!TerminationHasBegun()) kill(getpid(), SIGTERM);  // a second one would cut its drain off
}

}  // namespace tramontane
