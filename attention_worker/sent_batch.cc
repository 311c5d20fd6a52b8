#include "attention_worker/sent_batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

absl::StatusOr<ExpertBatch> Gather(DispatchTerms& terms, const LayerRows& rows,
                                   const PlannedBatch& planned) {
  const DType row_dtype = terms.options.row_dtype;
  const size_t row_bytes = static_cast<size_t>(terms.hidden_size) * DTypeSize(row_dtype);
  absl::StatusOr<std::shared_ptr<const Buffer>> buffer =
      terms.row_buffers.Take(planned.tokens.size() * row_bytes);
  if (!buffer.ok()) return buffer.status();
  std::byte* gathered = (*buffer)->bytes();
  for (const int32_t token : planned.tokens) {
    std::memcpy(gathered, rows.rows + static_cast<size_t>(token) * row_bytes, row_bytes);
    gathered += row_bytes;
  }
  ExpertBatch batch;
  batch.layer = rows.layer;
  batch.row_dtype = row_dtype;
  batch.num_rows = static_cast<int64_t>(planned.tokens.size());
  batch.hidden_size = terms.hidden_size;
  batch.rows = (*buffer)->bytes();
  batch.rows_owner = *std::move(buffer);
  batch.expert_ids = planned.expert_ids;
  batch.rows_per_expert = planned.rows_per_expert;
  batch.row_indices = planned.row_indices;
  return batch;
}

}  // namespace

absl::StatusOr<SentBatch> SendBatch(DispatchTerms& terms, const LayerRows& rows,
                                    absl::Time deadline, PlannedBatch planned, size_t index) {
  const absl::Time now = absl::Now();
  absl::StatusOr<ExpertBatch> batch = Gather(terms, rows, planned);
  if (!batch.ok()) return batch.status();
  batch->deadline = deadline;
  if (terms.options.timeout > absl::ZeroDuration()) {
    batch->deadline = std::min(deadline, now + terms.options.timeout);
  }

  const std::shared_ptr<ExpertClient> client = planned.client;
  const std::shared_ptr<ReplicaLoad> load = client->load();
  const double units = planned.units();
  const ReplicaLoad::Reading worker = load->Read();
  const double units_ahead = load->Begin(units);
  SentBatch sent;
  sent.covers = planned.slots;
  sent.planned = std::move(planned);
  sent.time = now;
  sent.silence_limit = terms.silence_limit.Of(worker, units_ahead);
  sent.silent_at = now + sent.silence_limit;
  const absl::Duration hedge =
      terms.options.hedge_after * SilenceLimit::Expected(worker, units_ahead);
  if (hedge > absl::ZeroDuration()) sent.hedge_at = now + hedge;

  client->Execute(
      *std::move(batch), [box = rows.box, index, load, units, units_ahead, now,
                          late = terms.late_answers](absl::StatusOr<ExpertBatchResult> answer) {
        const bool answered = answer.ok();
        const absl::Time end = absl::Now();
        if (answered) {
          const HopTiming& timing = answer->timing;
          load->Answered(units, units_ahead, end - now, timing.serialize + timing.network, end);
        } else {
          load->Failed(units);
        }
        if (!box->Put(index, std::move(answer)) && answered) late->fetch_add(1);
      });
  return sent;
}

}  // namespace tramontane
