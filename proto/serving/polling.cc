#include "proto/serving/polling.h"

#include <cstdlib>

namespace tramontane {

void PollOwnConnections() { setenv("GRPC_POLL_STRATEGY", "poll", /*replace=*/0); }

}  // namespace tramontane
