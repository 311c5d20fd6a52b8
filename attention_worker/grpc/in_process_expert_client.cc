#include "attention_worker/grpc/in_process_expert_client.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

ExpertWorkerDescription Describe(const HostedExperts& experts,
                                 const ExpertExecutorOptions& options) {
  const MixtralConfig& config = experts.config();
  ExpertWorkerDescription description;
  description.digest = experts.checkpoint().digest();
  description.row_dtype = experts.backend()->compute_dtype();
  description.backend = std::string(experts.backend()->name());
  for (const auto& [layer, expert] : experts.set().Members()) {
    description.experts.push_back({layer, expert});
  }
  description.num_layers = config.num_layers;
  description.num_experts = config.num_experts;
  description.hidden_size = config.hidden_size;
  description.intermediate_size = config.intermediate_size;
  description.max_batch_rows = options.max_batch_rows;
  return description;
}

// One pointer a (row, expert) pair into the executor's result, which they keep alive.
ExpertBatchResult ToBatchResult(ExpertTaskResult result, size_t row_bytes, absl::Duration total) {
  ExpertBatchResult batch_result;
  batch_result.row_pointers.reserve(static_cast<size_t>(result.num_rows));
  const std::byte* row = result.rows->bytes();
  for (int64_t i = 0; i < result.num_rows; ++i, row += row_bytes) {
    batch_result.row_pointers.push_back(row);
  }
  batch_result.owner = std::move(result.rows);
  batch_result.timing.queue = result.queue;
  batch_result.timing.compute = result.compute;
  batch_result.timing.network = total - result.queue - result.compute;
  return batch_result;
}

}  // namespace

InProcessExpertClient::InProcessExpertClient(const HostedExperts* experts,
                                             const ExpertExecutorOptions& options)
    : description_(Describe(*experts, options)), executor_(experts, nullptr, options) {}

void InProcessExpertClient::Execute(ExpertBatch batch, Done done) {
  const absl::Time begin = absl::Now();
  const size_t row_bytes = static_cast<size_t>(batch.hidden_size) * DTypeSize(batch.row_dtype);
  ExpertTask task;
  task.layer = batch.layer;
  task.row_dtype = batch.row_dtype;
  task.rows.reserve(static_cast<size_t>(batch.num_rows));
  for (int64_t i = 0; i < batch.num_rows; ++i) {
    task.rows.push_back(batch.rows + static_cast<size_t>(i) * row_bytes);
  }
  task.expert_ids = std::move(batch.expert_ids);
  task.rows_per_expert = std::move(batch.rows_per_expert);
  task.row_indices = std::move(batch.row_indices);
  task.deadline = batch.deadline;
  executor_.Submit(std::move(task), [done = std::move(done), owner = std::move(batch.rows_owner),
                                     row_bytes, begin](absl::StatusOr<ExpertTaskResult> result) {
    if (!result.ok()) {
      done(result.status());
    } else {
      done(ToBatchResult(*std::move(result), row_bytes, absl::Now() - begin));
    }
  });
}

}  // namespace tramontane
