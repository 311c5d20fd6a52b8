// How long a batch may go unanswered before its rows are sent to another worker as well.
#ifndef TRAMONTANE_ATTENTION_WORKER_SILENCE_LIMIT_H_
#define TRAMONTANE_ATTENTION_WORKER_SILENCE_LIMIT_H_

#include "absl/time/time.h"
#include "attention_worker/replica_load.h"

namespace tramontane {

// Follows the measured latency of the work on its worker, like TCP's retransmission timeout
// (RFC 6298). Used by one thread.
class SilenceLimit {
 public:
  // What the work ahead of an answer is expected to take; zero before the worker was measured.
  static absl::Duration Expected(const ReplicaLoad::Reading& worker, double units_ahead);

  // For a batch with so many units before its answer.
  absl::Duration Of(const ReplicaLoad::Reading& worker, double units_ahead) const;

  // A worker was found silent. All limits double, up to eight times, so that where everything has
  // become slow at once the next alarm comes later; answers take it back.
  void OnSilence();
  void OnAnswer();

 private:
  double patience_ = 1;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_SILENCE_LIMIT_H_
