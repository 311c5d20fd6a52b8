// The wait for a worker with an expert that nobody hosts, over the steps that it interrupts.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_WAIT_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_WAIT_H_

#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/step_observer.h"

namespace tramontane {

// A step that waits holds up all that its caller has to do, so it waits for a slice of time only,
// ends with ABORTED and is given again; how long that may go on is counted from the first slice.
// Tells observer and log of beginnings and ends. Used by the step thread.
class ExpertWait {
 public:
  // `observer` outlives the wait. `forget_after`: a wait that was interrupted for longer than this
  // is over, as its step was not given again; the next one begins anew.
  ExpertWait(StepObserver* observer, absl::Duration forget_after)
      : observer_(observer), forget_after_(forget_after) {}

  // A step begins, or one that was interrupted is given again.
  void BeginStep(absl::Time now);
  // A dispatch waits for `experts` of `layer`. Returns when this began, maybe in an earlier step.
  absl::Time Enter(int layer, const std::vector<int>& experts, absl::Time now);
  // The step ends, and the wait goes on with the next one.
  void Interrupt(absl::Time now);
  // Ends where `placement` has all experts that are waited for.
  void OnPlacement(const ExpertPlacement& placement, absl::Time now);
  // Ends, if a dispatch waits: nobody waits any more.
  void GiveUp(absl::Time now);

  // How often the wait of this step ended as a worker came, and began again: the step's rows may be
  // what workers break of.
  int num_returns() const { return num_returns_; }
  // A step is over, and the next one has other rows; not for one that was interrupted.
  void EndStep() { num_returns_ = 0; }

 private:
  void End(absl::Time now);

  StepObserver* const observer_;
  const absl::Duration forget_after_;
  std::optional<absl::Time> since_;  // of the wait, interrupted or not
  bool waiting_ = false;             // now
  absl::Time interrupted_;
  int layer_ = 0;
  std::vector<int> experts_;
  int num_returns_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_WAIT_H_
