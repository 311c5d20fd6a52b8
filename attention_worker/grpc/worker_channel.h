// Connections to expert workers and attention workers.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"

#include "proto/serving/tls_client.h"

namespace tramontane {

// When a peer that is silent is asked for a sign of life (an HTTP/2 ping, which the thread that
// polls its connections answers, whatever its other threads do), and when it is given up without
// one: far above what that thread may take for anything.
struct SignsOfLife {
  absl::Duration ask_after = absl::Seconds(10);
  absl::Duration give_up_after = absl::Seconds(5);
};

// A connection of its own, which ends with the last reference; with the certificates that `tls` has
// now.
std::shared_ptr<grpc::Channel> CreateWorkerChannel(const std::string& address,
                                                   int64_t max_message_bytes, const TlsClient& tls,
                                                   const SignsOfLife& signs_of_life = {});

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CHANNEL_H_
