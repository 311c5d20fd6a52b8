// The batches that a client has sent and not yet answered.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_FLIGHT_TABLE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_FLIGHT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"

namespace tramontane {

// What the answer to a batch must look like, and when it is due.
struct Flight {
  ExpertClient::Done done;
  DType row_dtype = DType::kBF16;
  int64_t num_pairs = 0;
  int64_t hidden_size = 0;
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time sent;        // when Execute was called
  absl::Duration encode;  // part of serialize
};

// A batch whose outcome is known: call done(outcome).
struct LandedFlight {
  ExpertClient::Done done;
  absl::StatusOr<ExpertBatchResult> outcome;
};

// A flight leaves the table with its outcome: an answer, its deadline, or the end of the stream,
// whichever comes first. Thread-safe; calls nobody.
class FlightTable {
 public:
  // The id of a new flight, never 0. UNAVAILABLE after FailAll, RESOURCE_EXHAUSTED at the limit.
  absl::StatusOr<uint64_t> Add(Flight flight);

  // How long encoding took, known once the id is.
  void SetEncode(uint64_t id, absl::Duration encode);

  // The flight without its `done`; absent where nobody waits for the id any more.
  struct Shape {
    DType row_dtype;
    int64_t num_pairs;
    int64_t hidden_size;
    absl::Time sent;
    absl::Duration encode;
  };
  std::optional<Shape> Find(uint64_t id) const;

  // Absent where nobody waits for the id any more.
  std::optional<LandedFlight> Land(uint64_t id, absl::StatusOr<ExpertBatchResult> outcome);

  // Lands the flights that are past their deadline, with `status`.
  struct Expiry {
    std::vector<LandedFlight> landed;
    std::vector<uint64_t> ids;  // of those
    absl::Time next;            // deadline; the infinite future where there is none
  };
  Expiry Expire(absl::Time now, const absl::Status& status);

  // Lands all that is in flight, and refuses new flights, with `status`.
  std::vector<LandedFlight> FailAll(const absl::Status& status);

  bool empty() const;

 private:
  mutable std::mutex mutex_;
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, Flight> flights_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_FLIGHT_TABLE_H_
