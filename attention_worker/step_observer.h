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
  // Rows of a batch are computed again, because of `reason`: "SILENT", or the code that the worker
  // answered with, such as "UNAVAILABLE".
  virtual void OnRetry(std::string_view /*worker_address*/, int /*layer*/,
                       std::string_view /*reason*/) {}
  // The worker is not used until it has given a known answer again.
  virtual void OnSetAside(std::string_view /*worker_address*/, const absl::Status& /*reason*/) {}
  // Rows were sent to a second worker although the first may still answer in time.
  virtual void OnHedge(std::string_view /*worker_address*/, int /*layer*/) {}
  // So many answers came when their rows had been answered by others, or when nobody waited.
  virtual void OnLateAnswers(int64_t /*count*/) {}
  // A layer begins to wait for a worker with an expert that nobody hosts; has ended to.
  virtual void OnExpertWaitBegin(int /*layer*/) {}
  virtual void OnExpertWaitEnd(int /*layer*/, absl::Duration /*waited*/) {}
  // Its step ends; it begins again if there is another one.
  virtual void OnExpertWaitInterrupted(int /*layer*/) {}
  // A layer's rows were all answered in spite of failures, so long after the batches that failed
  // had been sent.
  virtual void OnStall(int /*layer*/, absl::Duration /*stall*/) {}
  // A step ended: its rows, its wall time, and the share of it spent waiting for experts.
  virtual void OnStep(int64_t /*num_rows*/, absl::Duration /*total*/,
                      absl::Duration /*expert_wait*/) {}
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_STEP_OBSERVER_H_
