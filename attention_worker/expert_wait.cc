#include "attention_worker/expert_wait.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "model/log.h"

namespace tramontane {

void ExpertWait::BeginStep(absl::Time now) {
  if (waiting_ || now - interrupted_ <= forget_after_) return;
  since_.reset();
  EndStep();
}

absl::Time ExpertWait::Enter(int layer, const std::vector<int>& experts, absl::Time now) {
  if (waiting_ && layer == layer_) {
    experts_ = experts;
    return *since_;
  }
  GiveUp(now);
  if (!since_.has_value()) {
    since_ = now;
    Log(LogLevel::kWarning, "waiting for experts that no worker hosts",
        {{"layer", layer}, {"experts", absl::StrJoin(experts, ",")}});
  }
  waiting_ = true;
  layer_ = layer;
  experts_ = experts;
  observer_->OnExpertWaitBegin(layer);
  return *since_;
}

void ExpertWait::Interrupt(absl::Time now) {
  if (!waiting_) return;
  waiting_ = false;
  interrupted_ = now;
  observer_->OnExpertWaitInterrupted(layer_);
}

void ExpertWait::OnPlacement(const ExpertPlacement& placement, absl::Time now) {
  if (!since_.has_value()) return;
  const bool hosted = std::all_of(experts_.begin(), experts_.end(), [&](int expert) {
    return !placement.Replicas(layer_, expert).empty();
  });
  if (!hosted) return;
  ++num_returns_;
  End(now);
}

void ExpertWait::GiveUp(absl::Time now) {
  if (waiting_) End(now);
}

void ExpertWait::End(absl::Time now) {
  if (!waiting_) observer_->OnExpertWaitBegin(layer_);
  waiting_ = false;
  const absl::Duration waited = now - *since_;
  since_.reset();
  observer_->OnExpertWaitEnd(layer_, waited);
  Log(LogLevel::kInfo, "no longer waiting for experts",
      {{"layer", layer_}, {"waited_ms", absl::ToInt64Milliseconds(waited)}});
}

}  // namespace tramontane
