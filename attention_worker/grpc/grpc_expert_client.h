// An expert worker at the other end of a gRPC stream.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_EXPERT_CLIENT_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_EXPERT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/grpc/stream_pump.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

// What an expert worker must agree with to be used.
struct ExpertWorkerExpectation {
  std::string digest;
  DType row_dtype = DType::kBF16;
  int num_layers = 0;
  int num_experts = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
};

struct GrpcExpertClientOptions {
  absl::Duration connect_timeout = absl::Seconds(5);
  int64_t max_message_bytes = int64_t{1} << 30;
  TlsClient tls;
  // Delivers the answers. Null: the client has one of its own, in which nobody turns.
  std::shared_ptr<StreamPump> pump;
  // Called once, from a thread of the client's own, when the client is of no more use: the stream
  // has ended, and every batch in flight has been answered with `status`; or the worker says that
  // it shuts down (IsDraining), and answers what is in flight.
  std::function<void(const absl::Status& status)> on_disconnect;
};

// Connects, asks Describe, checks it, opens the stream. UNAVAILABLE where nobody answers within
// connect_timeout; FAILED_PRECONDITION, with both values in the message, for a worker of another
// checkpoint, weight format or size.
absl::StatusOr<std::shared_ptr<ExpertClient>> ConnectExpertWorker(
    const std::string& address, const ExpertWorkerExpectation& expected,
    const GrpcExpertClientOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_EXPERT_CLIENT_H_
