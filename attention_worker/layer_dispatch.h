// One layer's rows on their way through the expert workers, in spite of those that fail.
#ifndef TRAMONTANE_ATTENTION_WORKER_LAYER_DISPATCH_H_
#define TRAMONTANE_ATTENTION_WORKER_LAYER_DISPATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/answer_box.h"
#include "attention_worker/dispatch_plan.h"
#include "attention_worker/dispatch_terms.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/sent_batch.h"

namespace tramontane {

// The experts' unweighted answers for one layer, ready to combine.
struct DispatchedRows {
  // [num_tokens * top_k], token after token in gate-rank order, each to [hidden_size].
  std::vector<const std::byte*> expert_rows;
  std::vector<std::shared_ptr<const void>> owners;  // keep expert_rows alive
  absl::Duration wait;                              // that Await spent
};

// Used by the step thread. May end at any time: what is still on its way then is dropped when it
// comes. Which worker answers changes no bit, since every answer goes into the slots of its pairs.
class LayerDispatch {
 public:
  // `rows` [num_tokens, hidden_size] and what `routed` points to stay as they are, and `terms`
  // stays, while the dispatch lives.
  LayerDispatch(DispatchTerms* terms, const RoutedTokens& routed, const std::byte* rows,
                absl::Time deadline);
  ~LayerDispatch();
  LayerDispatch(const LayerDispatch&) = delete;
  LayerDispatch& operator=(const LayerDispatch&) = delete;

  // Plans and sends. RESOURCE_EXHAUSTED where the copies of the rows cannot have their memory.
  absl::Status Start();
  // Until every pair is answered; fails as ExpertDispatcher::Await.
  absl::StatusOr<DispatchedRows> Await();

 private:
  using Slots = std::vector<int32_t>;  // ascending

  absl::Status PlanUncovered();
  // For `slots`, without the workers that refuse, that are silent, and `client` (may be null).
  DispatchPlan PlanElsewhere(const Slots& slots, const ExpertClient* client) const;
  std::vector<const ExpertClient*> Refusing() const;
  absl::Status Send(std::vector<PlannedBatch> batches);

  // One turn of Await: waits for answers, an alarm, or workers, and acts on what came.
  absl::Status TakeTurn();
  // What is uncovered has no worker that may compute it. How long to wait before the next look; an
  // error where that is of no use, or has lasted too long.
  absl::StatusOr<absl::Time> AwaitWorkers(absl::Time now);

  absl::Status OnAnswer(ArrivedAnswer arrived);
  void Fill(const PlannedBatch& batch, ExpertBatchResult answer);
  absl::Status OnFailure(const SentBatch& sent, const absl::Status& status);
  // False where it is not in use any more.
  bool SetAside(const std::shared_ptr<ExpertClient>& client, const absl::Status& reason);
  // Silence and hedging.
  absl::Status OnAlarms(absl::Time now);
  absl::Status OnSilence(size_t index, absl::Time now);
  absl::Status Hedge(size_t index);

  Slots OnlyCoveredBy(const SentBatch& sent) const;
  absl::Time deadline() const;  // the step's, or the end of all steps
  absl::Time NextAlarm() const;
  size_t num_awaited() const;
  absl::Status PastDeadline() const;
  absl::Status NoWorker(absl::Duration waited) const;
  absl::Status LostAgainAndAgain() const;
  absl::Status WaitsOn();
  // A failed turn, as Await returns it.
  absl::Status Ended(const absl::Status& status);

  DispatchTerms* const terms_;
  const RoutedTokens routed_;
  const LayerRows rows_;
  const absl::Time deadline_;

  std::shared_ptr<const ExpertPlacement> placement_;
  std::vector<SentBatch> sent_;
  DispatchedRows result_;
  size_t num_missing_ = 0;            // slots without an answer
  std::vector<int16_t> num_covers_;   // [num_slots] of batches in sent_
  Slots uncovered_;                   // missing, and no batch covers them
  std::vector<int> missing_experts_;  // of uncovered_, after a plan
  // Not asked again by this dispatch: the directory still lists them although they failed, or the
  // fault may be the batch's.
  std::vector<const ExpertClient*> excluded_;
  std::vector<const ExpertClient*> broken_;  // whose failure has been counted
  std::vector<const ExpertClient*> busy_;    // not asked until…
  absl::Time busy_until_;
  bool asked_twice_ = false;  // some rows are with two workers
  int num_failures_ = 0;
  int num_refusals_ = 0;       // that may be the batch's own fault
  absl::Status last_failure_;  // names the worker
  absl::Time trouble_since_ = absl::InfiniteFuture();
  std::optional<absl::Time> slice_end_;  // of a wait for experts that nobody hosts
  bool interrupted_ = false;             // by it
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_LAYER_DISPATCH_H_
