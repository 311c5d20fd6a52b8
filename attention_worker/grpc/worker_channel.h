// Connections to expert workers and attention workers.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>

namespace tramontane {

// A connection of its own, which ends with the last reference; plaintext. A peer that is silent for
// 15 s is given up. Let the last reference go on a thread that is not gRPC's: see MessageStream.
std::shared_ptr<grpc::Channel> CreateWorkerChannel(const std::string& address,
                                                   int64_t max_message_bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
