#include "attention_worker/expert_dispatcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/check.h"

namespace tramontane {

size_t ExpertDispatcher::MaxRowBufferBytes(const MixtralConfig& config, DType row_dtype,
                                           int max_tokens) {
  return 2 * static_cast<size_t>(max_tokens) * config.top_k * config.hidden_size *
         DTypeSize(row_dtype);
}

ExpertDispatcher::ExpertDispatcher(const MixtralConfig& config, ExpertDirectory* directory,
                                   StepObserver* observer, Backend* backend,
                                   const ExpertDispatcherOptions& options)
    : num_experts_(config.num_experts),
      terms_{.hidden_size = config.hidden_size,
             .options = options,
             .directory = directory,
             .observer = observer,
             .row_buffers = RowBufferPool(
                 backend, MaxRowBufferBytes(config, options.row_dtype, options.max_tokens))} {}

absl::StatusOr<ExpertDispatcher::Pending> ExpertDispatcher::Send(const RoutedTokens& routed,
                                                                 const std::byte* rows,
                                                                 absl::Time deadline) {
  TRAMONTANE_CHECK(routed.num_tokens <= terms_.options.max_tokens);
  if (absl::Now() >= std::min(deadline, terms_.step_limit.Get())) {
    return absl::DeadlineExceededError(
        absl::StrCat("the deadline of the step passed before layer ", routed.layer));
  }
  auto pending = std::make_unique<LayerDispatch>(&terms_, routed, rows, deadline);
  const absl::Status sent = pending->Start();
  // The rows are on their way meanwhile.
  terms_.observer->OnRouted(routed.layer, CountTokensPerExpert(routed, num_experts_));
  const int64_t late = terms_.late_answers->exchange(0);
  if (late > 0) terms_.observer->OnLateAnswers(late);
  if (!sent.ok()) return sent;
  return pending;
}

absl::StatusOr<DispatchedRows> ExpertDispatcher::Await(Pending pending) { return pending->Await(); }

}  // namespace tramontane
