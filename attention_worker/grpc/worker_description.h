// Describe: what a worker says of itself, and whether it may be used.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DESCRIPTION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DESCRIPTION_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/grpc/grpc_expert_client.h"

namespace tramontane {

// Asks Describe. UNAVAILABLE where nobody answers within `timeout`, INTERNAL for an answer that
// contradicts itself.
absl::StatusOr<ExpertWorkerDescription> FetchDescription(
    const std::string& address, const std::shared_ptr<grpc::Channel>& channel,
    absl::Duration timeout);

// FAILED_PRECONDITION naming the field and both values for the first difference, UNAVAILABLE for a
// worker that is shutting down.
absl::Status CheckDescription(const std::string& address,
                              const ExpertWorkerDescription& description,
                              const ExpertWorkerExpectation& expected);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_DESCRIPTION_H_
