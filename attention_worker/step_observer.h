// What an attention worker tells whoever counts: the core records, adapters export.
#ifndef TRAMONTANE_ATTENTION_WORKER_STEP_OBSERVER_H_
#define TRAMONTANE_ATTENTION_WORKER_STEP_OBSERVER_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"

namespace tramontane {

// Calls come from the step thread; implementations return quickly. The default ignores everything.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  // tokens_per_expert [num_experts]: routed (token, choice) pairs of this layer and step.
  virtual void OnRouted(int /*layer*/, std::span<const int64_t> /*tokens_per_expert*/) {}
  virtual void OnHop(std::string_view /*worker_address*/, int /*layer*/,
                     const absl::Status& /*status*/, const HopTiming& /*timing*/) {}
  // A step ended: its rows, its wall time, and the share of it spent waiting for experts.
  virtual void OnStep(int64_t /*num_rows*/, absl::Duration /*total*/,
                      absl::Duration /*expert_wait*/) {}
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_STEP_OBSERVER_H_
