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
  absl::Duration wait;                              // that Await spent
};

struct ExpertDispatcherOptions {
  DType row_dtype = DType::kBF16;
  int max_tokens = 0;                          // of one step, at most
  absl::Duration timeout = absl::Seconds(30);  // of one hop; zero: none
};

// Used by the step thread only.
class ExpertDispatcher {
 public:
  // Batches on their way. Its end waits until all are answered, so that no client refers to the
  // rows afterwards; clients answer by the batches' deadline, which bounds the wait.
  class Pending {
   public:
    Pending() = default;
    Pending(Pending&&) = default;
    Pending& operator=(Pending&& other);
    ~Pending() { WaitForAll(); }

   private:
    friend class ExpertDispatcher;
    struct Answers;
    void WaitForAll();

    RoutedTokens routed_;
    std::vector<PlannedBatch> batches_;
    std::shared_ptr<Answers> answers_;  // null: nothing on its way
  };

  // `directory` and `observer` outlive the dispatcher. RESOURCE_EXHAUSTED where the rows that are
  // regrouped by worker cannot have their memory.
  static absl::StatusOr<std::unique_ptr<ExpertDispatcher>> Create(
      const MixtralConfig& config, const ExpertDirectory* directory, StepObserver* observer,
      Backend* backend, const ExpertDispatcherOptions& options);

  // Sends each row of `rows` [num_tokens, hidden_size] once to each worker that computes for it.
  // Rows and routing stay as they are while the result lives. Several may be on their way, of
  // different parts [first_token, first_token + num_tokens) of a step's tokens. Batches carry the
  // earlier of `deadline` and the timeout. UNAVAILABLE where an expert has no worker,
  // DEADLINE_EXCEEDED where `deadline` has passed.
  absl::StatusOr<Pending> Send(const RoutedTokens& routed, const std::byte* rows,
                               int64_t first_token, absl::Time deadline);

  // Waits until every batch is answered, also where one fails. Errors name the layer and the
  // worker:
  //   UNAVAILABLE        a worker went away
  //   DEADLINE_EXCEEDED  the batches' deadline passed
  //   INTERNAL           an answer of the wrong shape, or one that holds an infinity or a NaN
  //   others             as ExpertClient::Execute
  absl::StatusOr<DispatchedRows> Await(Pending pending);

 private:
  ExpertDispatcher(const MixtralConfig& config, const ExpertDirectory* directory,
                   StepObserver* observer, const ExpertDispatcherOptions& options,
                   Buffer regrouped_rows);

  // Hands all batches to their clients.
  void Execute(const Pending& pending, const std::byte* rows, int64_t first_token,
               absl::Time deadline) const;
  // Where the batch's rows lie together: in `rows` itself, or copied to `*free_rows`, which moves.
  const std::byte* GatherRows(const PlannedBatch& batch, const std::byte* rows,
                              std::byte** free_rows) const;
  absl::Status CheckAnswer(const PlannedBatch& batch, const ExpertBatchResult& answer) const;
  absl::StatusOr<DispatchedRows> Collect(const RoutedTokens& routed,
                                         const std::vector<PlannedBatch>& batches,
                                         std::span<absl::StatusOr<ExpertBatchResult>> answers);

  const int num_experts_;
  const int64_t hidden_size_;
  const ExpertDirectory* const directory_;
  StepObserver* const observer_;
  const ExpertDispatcherOptions options_;
  const Buffer regrouped_rows_;  // [max_tokens, top_k, hidden_size] of row_dtype
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_DISPATCHER_H_
