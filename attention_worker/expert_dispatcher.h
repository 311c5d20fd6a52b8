// Dispatch: a layer's routed rows to the expert workers, and their answers back.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/dispatch_plan.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/step_observer.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "model/config.h"

namespace tramontane {

// The experts' unweighted answers for one layer, ready to combine.
struct DispatchedRows {
  // [num_tokens * top_k], token after token in gate-rank order, each to [hidden_size].
  std::vector<const std::byte*> expert_rows;
  std::vector<std::shared_ptr<const void>> owners;  // keep expert_rows alive
  absl::Duration wait;                              // from the first send to the last answer
};

struct ExpertDispatcherOptions {
  DType row_dtype = DType::kBF16;
  int max_tokens = 0;                          // rows of one Dispatch, at most
  absl::Duration timeout = absl::Seconds(30);  // of one hop; zero: none
};

// Used by the step thread only.
class ExpertDispatcher {
 public:
  // `directory` and `observer` outlive the dispatcher. RESOURCE_EXHAUSTED where the rows that are
  // regrouped by worker cannot have their memory.
  static absl::StatusOr<std::unique_ptr<ExpertDispatcher>> Create(
      const MixtralConfig& config, const ExpertDirectory* directory, StepObserver* observer,
      Backend* backend, const ExpertDispatcherOptions& options);

  // Sends each row of `rows` [num_tokens, hidden_size] once to each worker that computes for it,
  // and waits until every batch is answered, also where one fails: no client refers to `rows`
  // afterwards. Clients answer by the batch's deadline, the earlier of `deadline` and the timeout,
  // which bounds the wait. Errors name the layer and, where one is to blame, the worker:
  //   UNAVAILABLE        an expert has no worker, or its worker went away
  //   DEADLINE_EXCEEDED  `deadline` or the timeout passed
  //   INTERNAL           an answer of the wrong shape, or one that holds an infinity or a NaN
  //   others             as ExpertClient::Execute
  absl::StatusOr<DispatchedRows> Dispatch(const RoutedTokens& routed, const std::byte* rows,
                                          absl::Time deadline);

 private:
  struct InFlight;

  ExpertDispatcher(const MixtralConfig& config, const ExpertDirectory* directory,
                   StepObserver* observer, const ExpertDispatcherOptions& options,
                   Buffer regrouped_rows);

  // Where the batch's rows lie together: in `rows` itself, or copied to `*free_rows`, which moves.
  const std::byte* GatherRows(const PlannedBatch& batch, const std::byte* rows,
                              std::byte** free_rows) const;
  std::shared_ptr<InFlight> Send(const RoutedTokens& routed,
                                 const std::vector<PlannedBatch>& batches, const std::byte* rows,
                                 absl::Time deadline);
  absl::Status CheckAnswer(const PlannedBatch& batch, const ExpertBatchResult& answer) const;
  absl::StatusOr<DispatchedRows> Collect(const RoutedTokens& routed,
                                         const std::vector<PlannedBatch>& batches,
                                         std::span<absl::StatusOr<ExpertBatchResult>> answers);

  const int num_experts_;
  const int64_t hidden_size_;
  const ExpertDirectory* const directory_;
  StepObserver* const observer_;
  const ExpertDispatcherOptions options_;
  const Buffer regrouped_rows_;  // [max_tokens * top_k, hidden_size] of row_dtype
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_
