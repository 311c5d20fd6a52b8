// A question whose answer is known, for an expert worker that is to be used.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_PROBE_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_PROBE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"

namespace tramontane {

struct ExpertProbeOptions {
  absl::Duration timeout = absl::Seconds(5);  // of one answer
  size_t max_known_answers = 64;              // of [hidden_size] each; more are computed again
};

// Sends a fixed row to one or two of the experts that a worker hosts, and compares the answers with
// what this process computes from its own checkpoint. That catches a worker whose weights, kernels
// or hardware are broken as a whole; single experts that are damaged are met only by chance, and by
// the check that every answer is finite. Thread-safe.
class ExpertProbe {
 public:
  // `backend` is used by nothing else, for one expert at a time, whose packed weights live only as
  // long as it takes.
  ExpertProbe(std::shared_ptr<const Checkpoint> checkpoint, std::unique_ptr<Backend> backend,
              const ExpertProbeOptions& options);

  // Blocks for two timeouts at most, beside computing. A worker that has answered wrongly before is
  // asked about two experts, others each time. OK also where memory does not suffice to know the
  // answer, which the log says. FAILED_PRECONDITION for a wrong answer; others as Execute. Kernels
  // of the same name must give the same bits, others the same numbers up to roundings.
  absl::Status Probe(const std::shared_ptr<ExpertClient>& client, int wrong_answers);

 private:
  using Row = std::vector<std::byte>;  // [hidden_size] of the backend's compute dtype

  absl::Status ProbeExpert(const std::shared_ptr<ExpertClient>& client,
                           const ExpertWorkerDescription::Hosted& hosted);
  absl::StatusOr<ExpertBatchResult> Ask(const std::shared_ptr<ExpertClient>& client,
                                        const ExpertWorkerDescription::Hosted& hosted) const;
  absl::StatusOr<Row> KnownAnswer(int layer, int expert);
  absl::Status Compare(const Row& expected, const std::byte* found, bool same_kernels) const;

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const std::unique_ptr<Backend> backend_;
  const ExpertProbeOptions options_;
  const int64_t hidden_size_;
  const DType dtype_;
  const std::shared_ptr<const Row> question_;

  std::mutex mutex_;  // one computation at a time
  std::map<std::pair<int, int>, Row> known_answers_ ABSL_GUARDED_BY(mutex_);  // by layer, expert
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_PROBE_H_
