// What the tests of the expert client share: batches for a tiny checkpoint and their answers.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_CLIENT_BATCHES_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_CLIENT_BATCHES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "attention_worker/grpc/grpc_expert_client.h"
#include "tests/expert_worker/worker_server.h"

namespace tramontane {

inline constexpr int kHiddenSize = 64;
using Answer = Awaited<absl::StatusOr<ExpertBatchResult>>;

inline ExpertClient::Done Into(Answer& answer) {
  return [&answer](absl::StatusOr<ExpertBatchResult> result) { answer.Set(std::move(result)); };
}

inline ExpertBatch SomeBatch(const std::vector<std::byte>& rows, DType dtype) {
  ExpertBatch batch;
  batch.layer = 1;
  batch.row_dtype = dtype;
  batch.hidden_size = kHiddenSize;
  batch.num_rows = static_cast<int64_t>(rows.size() / (kHiddenSize * DTypeSize(dtype)));
  const auto owner = std::make_shared<const std::vector<std::byte>>(rows);
  batch.rows = owner->data();
  batch.rows_owner = owner;
  batch.expert_ids = {3, 0};
  batch.rows_per_expert = {1, 2};
  batch.row_indices = {1, 0, 1};
  return batch;
}

inline ExpertWorkerExpectation TinyExpectation(DType dtype, const std::string& digest) {
  ExpertWorkerExpectation expected;
  expected.digest = digest;
  expected.row_dtype = dtype;
  expected.num_layers = 2;
  expected.num_experts = 8;
  expected.hidden_size = kHiddenSize;
  expected.intermediate_size = 96;
  return expected;
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_CLIENT_BATCHES_H_
