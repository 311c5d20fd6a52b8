// Dispatch: a layer's routed rows to the expert workers, and their answers back.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/dispatch_plan.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/layer_dispatch.h"
#include "attention_worker/step_observer.h"
#include "kernels/backend.h"
#include "model/config.h"

namespace tramontane {

// Used by the step thread only, but for EndBy.
class ExpertDispatcher {
 public:
  // Batches on their way. It may end before they are answered.
  using Pending = std::unique_ptr<LayerDispatch>;

  // What it points to outlives the dispatcher.
  ExpertDispatcher(const MixtralConfig& config, ExpertDirectory* directory, StepObserver* observer,
                   Backend* backend, const ExpertDispatcherOptions& options);

  // Sends each row of `rows` [num_tokens, hidden_size] once to each worker that computes for it.
  // Rows and routing stay as they are, and the dispatcher stays, while the result lives. Several
  // may be on their way. Batches carry the earlier of `deadline` and the timeout. DEADLINE_EXCEEDED
  // where `deadline` has passed, RESOURCE_EXHAUSTED where the copies of the rows cannot have their
  // memory.
  absl::StatusOr<Pending> Send(const RoutedTokens& routed, const std::byte* rows,
                               absl::Time deadline);

  // Waits until every pair is answered. Rows of a worker that fails, or is silent for longer than
  // its speed explains, go to other replicas; where an expert has none, it waits for one to come.
  // Errors name the layer and the workers or experts:
  //   UNAVAILABLE        an expert had no worker for longer than expert_wait_timeout, or too often,
  //                      as if the step's rows broke those that came
  //   ABORTED            it has none yet: the step waits no longer than expert_wait_slice
  //   DEADLINE_EXCEEDED  `deadline` passed, or the end of EndBy
  //   RESOURCE_EXHAUSTED as Send; or all workers with an expert stayed busy
  //   INTERNAL           two workers refused the same rows
  //   others             as the last worker failed, where the directory keeps those that fail
  absl::StatusOr<DispatchedRows> Await(Pending pending);

  // Before a step, and after one that did not end with ABORTED: what is given next has other rows.
  void BeginStep() { terms_.expert_wait.BeginStep(absl::Now()); }
  void EndStep() { terms_.expert_wait.EndStep(); }

  // Nothing is sent or awaited after `end`; an Await that has begun sees it within a second. From
  // any thread.
  void EndBy(absl::Time end) { terms_.step_limit.Set(end); }

  // Bytes of the copies of a step's rows that are kept for the next steps, at most: each row once
  // for each worker that it may go to, in buffers that may be half empty.
  static size_t MaxRowBufferBytes(const MixtralConfig& config, DType row_dtype, int max_tokens);

 private:
  const int num_experts_;
  DispatchTerms terms_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_
