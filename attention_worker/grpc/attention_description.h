// Describe: what an attention worker says of itself, and whether it may be used.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_DESCRIPTION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_DESCRIPTION_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/config.h"
#include "proto/attention.pb.h"

namespace tramontane {

// What an attention worker must agree with to be used.
struct AttentionWorkerExpectation {
  std::string digest;
  std::string compute_dtype;  // "bf16" or "f32", also the weights' format
  MixtralConfig config;
  int kv_block_size = 16;     // tokens
  int min_step_tokens = 512;  // that its steps must hold: the coordinator's --max_step_tokens
};

// Asks Describe. UNAVAILABLE where nobody answers within `timeout`.
absl::StatusOr<v1::DescribeAttentionWorkerResponse> FetchAttentionDescription(
    const std::string& address, const std::shared_ptr<grpc::Channel>& channel,
    absl::Duration timeout);

// FAILED_PRECONDITION naming the field and both values for the first difference, UNAVAILABLE for a
// worker that is shutting down.
absl::Status CheckAttentionDescription(const std::string& address,
                                       const v1::DescribeAttentionWorkerResponse& description,
                                       const AttentionWorkerExpectation& expected);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_DESCRIPTION_H_
