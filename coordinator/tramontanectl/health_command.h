// tramontanectl health: whether a process serves, for scripts and for health checks of containers.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_HEALTH_COMMAND_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_HEALTH_COMMAND_H_

#include <string>

#include "absl/time/time.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

// Asks grpc.health.v1 at `target`, a server's own port or that of --health_listen, about the
// service of --service, and prints the answer. Exit code 0 where it serves, kExitUnavailable where
// it does not or does not answer within `timeout`.
int ShowHealth(const std::string& target, const TlsClient& tls, absl::Duration timeout);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_HEALTH_COMMAND_H_
