// A remote expert worker, in domain terms: what the dispatcher knows of one.
#ifndef TRAMONTANE_ATTENTION_WORKER_EXPERT_CLIENT_H_
#define TRAMONTANE_ATTENTION_WORKER_EXPERT_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/replica_load.h"
#include "model/dtype.h"

namespace tramontane {

// What a worker states of itself.
struct ExpertWorkerDescription {
  struct Hosted {
    int layer = 0;
    int expert = 0;
  };
  std::string digest;
  DType row_dtype = DType::kBF16;
  std::string backend;
  std::vector<Hosted> experts;
  int num_layers = 0;
  int num_experts = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int max_batch_rows = 0;
  bool draining = false;
};

// One layer's rows for one worker.
struct ExpertBatch {
  int layer = 0;
  DType row_dtype = DType::kBF16;
  int64_t num_rows = 0;
  int64_t hidden_size = 0;
  const std::byte* rows = nullptr;         // [num_rows, hidden_size] of row_dtype
  std::shared_ptr<const void> rows_owner;  // keeps `rows` alive; null where they outlive the client
  std::vector<int32_t> expert_ids;         // [num_groups]
  std::vector<int32_t> rows_per_expert;    // [num_groups]
  std::vector<int32_t> row_indices;        // [sum of rows_per_expert], group after group
  absl::Time deadline = absl::InfiniteFuture();
};

// Where the time of one hop went.
struct HopTiming {
  absl::Duration serialize;  // encode and decode, both sides
  absl::Duration network;    // what the other three leave of the round trip
  absl::Duration queue;      // in the worker, before compute
  absl::Duration compute;
};

// One row a (row, expert) pair, in the order of row_indices. `row_pointers` point into memory that
// `owner` keeps alive (the received message itself, where it came off the wire). They may hold
// infinities and NaNs: whoever uses them looks (CheckAnswer, ExpertProbe).
struct ExpertBatchResult {
  std::vector<const std::byte*> row_pointers;  // each to [hidden_size] of the batch's row_dtype
  std::shared_ptr<const void> owner;
  HopTiming timing;
};

// Thread-safe. Implementations: GrpcExpertClient, the in-process one, and tests/fakes.
class ExpertClient {
 public:
  using Done = std::function<void(absl::StatusOr<ExpertBatchResult>)>;

  virtual ~ExpertClient() = default;

  // HOST:PORT or unix:PATH, or a name for logs and metrics.
  virtual const std::string& address() const = 0;
  virtual const ExpertWorkerDescription& description() const = 0;

  // Sends a batch. `done` is called exactly once, from any thread (also before Execute returns):
  // UNAVAILABLE when the worker is gone, DEADLINE_EXCEEDED past the batch's deadline,
  // RESOURCE_EXHAUSTED when its queue is full, INTERNAL for an answer that is not what was asked
  // for. The transport may read `batch.rows` for longer: it keeps batch.rows_owner until it is
  // done.
  virtual void Execute(ExpertBatch batch, Done done) = 0;

  // What the dispatcher sent, and how fast it was answered.
  const std::shared_ptr<ReplicaLoad>& load() const { return load_; }

 private:
  const std::shared_ptr<ReplicaLoad> load_ = std::make_shared<ReplicaLoad>();
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_EXPERT_CLIENT_H_
