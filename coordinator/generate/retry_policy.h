// What a client does about a server that is going away.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_RETRY_POLICY_H_
#define TRAMONTANE_COORDINATOR_GENERATE_RETRY_POLICY_H_

#include <grpcpp/support/channel_arguments.h>

#include <string>

namespace tramontane {

// gRPC makes no more.
inline constexpr int kMostAttempts = 5;

// gRPC's service config (docs/api.md shows it) with which a call to the Inference service that ends
// with UNAVAILABLE before any message is made again, `max_attempts` in [2, kMostAttempts]
// times in all, after
// 0.2 s, then 0.6 s and so on, up to 2 s, each varied, or when the server says. A stream that has
// begun is never repeated.
std::string RetryServiceConfig(int max_attempts);

// For a channel. 1 attempt: no retries.
void SetRetryPolicy(int max_attempts, grpc::ChannelArguments* arguments);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_RETRY_POLICY_H_
