#include "attention_worker/expert_dispatcher.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "kernels/finite_rows.h"
#include "model/check.h"

namespace tramontane {

// Shared with the clients' callbacks, which may still be on their way out when the last answer has
// been taken.
struct ExpertDispatcher::Pending::Answers {
  explicit Answers(size_t num_batches) : missing(num_batches) {
    answers.resize(num_batches, absl::UnknownError("no answer yet"));
  }

  void Answer(size_t batch, absl::StatusOr<ExpertBatchResult> answer) {
    const std::lock_guard<std::mutex> lock(mutex);
    answers[batch] = std::move(answer);
    if (--missing == 0) all_answered.notify_one();
  }

  void WaitForAll() {
    std::unique_lock<std::mutex> lock(mutex);
    all_answered.wait(lock, [this] { return missing == 0; });
  }

  std::mutex mutex;
  std::condition_variable all_answered;
  // [num_batches]; the step thread's once none is missing.
  std::vector<absl::StatusOr<ExpertBatchResult>> answers;
  size_t missing ABSL_GUARDED_BY(mutex);
};

ExpertDispatcher::Pending& ExpertDispatcher::Pending::operator=(Pending&& other) {
  WaitForAll();
  routed_ = other.routed_;
  batches_ = std::move(other.batches_);
  answers_ = std::move(other.answers_);
  return *this;
}

void ExpertDispatcher::Pending::WaitForAll() {
  if (answers_ != nullptr) answers_->WaitForAll();
}

absl::StatusOr<std::unique_ptr<ExpertDispatcher>> ExpertDispatcher::Create(
    const MixtralConfig& config, const ExpertDirectory* directory, StepObserver* observer,
    Backend* backend, const ExpertDispatcherOptions& options) {
  absl::StatusOr<Buffer> rows =
      backend->Allocate(static_cast<size_t>(options.max_tokens) * config.top_k *
                        config.hidden_size * DTypeSize(options.row_dtype));
  if (!rows.ok()) return rows.status();
  return std::unique_ptr<ExpertDispatcher>(
      new ExpertDispatcher(config, directory, observer, options, *std::move(rows)));
}

ExpertDispatcher::ExpertDispatcher(const MixtralConfig& config, const ExpertDirectory* directory,
                                   StepObserver* observer, const ExpertDispatcherOptions& options,
                                   Buffer regrouped_rows)
    : num_experts_(config.num_experts),
      hidden_size_(config.hidden_size),
      directory_(directory),
      observer_(observer),
      options_(options),
      regrouped_rows_(std::move(regrouped_rows)) {}

absl::StatusOr<ExpertDispatcher::Pending> ExpertDispatcher::Send(const RoutedTokens& routed,
                                                                 const std::byte* rows,
                                                                 int64_t first_token,
                                                                 absl::Time deadline) {
  TRAMONTANE_CHECK(first_token + routed.num_tokens <= options_.max_tokens);
  const absl::Time start = absl::Now();
  if (start >= deadline) {
    return absl::DeadlineExceededError(
        absl::StrCat("the deadline of the step passed before layer ", routed.layer));
  }
  const std::vector<int64_t> tokens_per_expert = CountTokensPerExpert(routed, num_experts_);
  observer_->OnRouted(routed.layer, tokens_per_expert);
  const std::shared_ptr<const ExpertPlacement> placement = directory_->placement();
  absl::StatusOr<std::vector<PlannedBatch>> batches =
      PlanDispatch(routed, *placement, tokens_per_expert);
  if (!batches.ok()) return batches.status();

  if (options_.timeout > absl::ZeroDuration()) {
    deadline = std::min(deadline, start + options_.timeout);
  }
  Pending pending;
  pending.routed_ = routed;
  pending.batches_ = *std::move(batches);
  pending.answers_ = std::make_shared<Pending::Answers>(pending.batches_.size());
  Execute(pending, rows, first_token, deadline);
  return pending;
}

absl::StatusOr<DispatchedRows> ExpertDispatcher::Await(Pending pending) {
  const absl::Time start = absl::Now();
  pending.WaitForAll();
  const absl::Duration wait = absl::Now() - start;
  absl::StatusOr<DispatchedRows> result =
      Collect(pending.routed_, pending.batches_, pending.answers_->answers);
  if (result.ok()) result->wait = wait;
  return result;
}

const std::byte* ExpertDispatcher::GatherRows(const PlannedBatch& batch, const std::byte* rows,
                                              std::byte** free_rows) const {
  const size_t row_bytes = static_cast<size_t>(hidden_size_) * DTypeSize(options_.row_dtype);
  const std::byte* first = rows + static_cast<size_t>(batch.tokens.front()) * row_bytes;
  // Ascending, so first and last tell whether there is a gap.
  const auto span = static_cast<size_t>(batch.tokens.back() - batch.tokens.front()) + 1;
  if (span == batch.tokens.size()) return first;

  std::byte* const gathered = *free_rows;
  TRAMONTANE_CHECK(gathered + batch.tokens.size() * row_bytes <=
                   regrouped_rows_.bytes() + regrouped_rows_.size());
  for (const int32_t token : batch.tokens) {
    std::memcpy(*free_rows, rows + static_cast<size_t>(token) * row_bytes, row_bytes);
    *free_rows += row_bytes;
  }
  return gathered;
}

void ExpertDispatcher::Execute(const Pending& pending, const std::byte* rows, int64_t first_token,
                               absl::Time deadline) const {
  std::byte* free_rows = regrouped_rows_.bytes() +
                         static_cast<size_t>(first_token * pending.routed_.top_k * hidden_size_) *
                             DTypeSize(options_.row_dtype);
  for (size_t i = 0; i < pending.batches_.size(); ++i) {
    const PlannedBatch& planned = pending.batches_[i];
    ExpertBatch batch;
    batch.layer = pending.routed_.layer;
    batch.row_dtype = options_.row_dtype;
    batch.num_rows = static_cast<int64_t>(planned.tokens.size());
    batch.hidden_size = hidden_size_;
    batch.rows = GatherRows(planned, rows, &free_rows);
    batch.expert_ids = planned.expert_ids;
    batch.rows_per_expert = planned.rows_per_expert;
    batch.row_indices = planned.row_indices;
    batch.deadline = deadline;
    planned.client->Execute(std::move(batch), [answers = pending.answers_,
                                               i](absl::StatusOr<ExpertBatchResult> answer) {
      answers->Answer(i, std::move(answer));
    });
  }
}

absl::Status ExpertDispatcher::CheckAnswer(const PlannedBatch& batch,
                                           const ExpertBatchResult& answer) const {
  if (answer.row_pointers.size() != batch.slots.size()) {
    return absl::InternalError(absl::StrCat("expected ", batch.slots.size(), " rows back, found ",
                                            answer.row_pointers.size()));
  }
  for (size_t i = 0; i < batch.slots.size(); ++i) {
    if (!RowIsFinite(answer.row_pointers[i], hidden_size_, options_.row_dtype)) {
      return absl::InternalError(
          absl::StrCat("row ", i,
                       " of the answer holds an infinity or a NaN; expected finite "
                       "numbers: check the worker's checkpoint and hardware"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DispatchedRows> ExpertDispatcher::Collect(
    const RoutedTokens& routed, const std::vector<PlannedBatch>& batches,
    std::span<absl::StatusOr<ExpertBatchResult>> answers) {
  DispatchedRows result;
  result.expert_rows.resize(static_cast<size_t>(routed.num_tokens * routed.top_k));
  absl::Status first_error;
  for (size_t i = 0; i < batches.size(); ++i) {
    const PlannedBatch& batch = batches[i];
    const absl::Status status =
        answers[i].ok() ? CheckAnswer(batch, *answers[i]) : answers[i].status();
    const std::string& address = batch.client->address();
    observer_->OnHop(address, routed.layer, status,
                     answers[i].ok() ? answers[i]->timing : HopTiming());
    if (!status.ok()) {
      first_error.Update(absl::Status(
          status.code(),
          absl::StrCat("expert worker ", address, ", layer ", routed.layer, " experts ",
                       absl::StrJoin(batch.expert_ids, ", "), ": ", status.message())));
      continue;
    }
    for (size_t pair = 0; pair < batch.slots.size(); ++pair) {
      result.expert_rows[batch.slots[pair]] = answers[i]->row_pointers[pair];
    }
    result.owners.push_back(std::move(answers[i]->owner));
  }
  if (!first_error.ok()) return first_error;
  return result;
}

}  // namespace tramontane
