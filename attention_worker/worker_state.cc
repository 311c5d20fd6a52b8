#include "attention_worker/worker_state.h"

#include <string>

#include "absl/strings/cord.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr char kDrainingPayload[] = "tramontane/draining";

}  // namespace

std::string_view WorkerStateName(WorkerState state) {
  switch (state) {
    case WorkerState::kConnecting:
      return "connecting";
    case WorkerState::kProbing:
      return "probing";
    case WorkerState::kServing:
      return "serving";
    case WorkerState::kSetAside:
      return "set_aside";
    case WorkerState::kDraining:
      return "draining";
    case WorkerState::kGone:
      return "gone";
  }
  TRAMONTANE_CHECK(false);
  return "";
}

absl::Status DrainingError(std::string_view message) {
  absl::Status status = absl::UnavailableError(std::string(message));
  status.SetPayload(kDrainingPayload, absl::Cord());
  return status;
}

bool IsDraining(const absl::Status& status) {
  return status.GetPayload(kDrainingPayload).has_value();
}

}  // namespace tramontane
