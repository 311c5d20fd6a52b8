// Connections to expert workers and attention workers.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>

#include "proto/serving/tls_client.h"

namespace tramontane {

// A connection of its own, which ends with the last reference; with the certificates that `tls` has
// now. A peer that is silent for 15 s is given up. Let the last reference go on a thread that is
// not gRPC's: see MessageStream.
std::shared_ptr<grpc::Channel> CreateWorkerChannel(const std::string& address,
                                                   int64_t max_message_bytes, const TlsClient& tls);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
