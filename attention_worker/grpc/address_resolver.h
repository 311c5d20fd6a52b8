// Names to addresses, as --expert_workers and --attention_workers give them.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ADDRESS_RESOLVER_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ADDRESS_RESOLVER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tramontane {

// Whether it is HOST:PORT with a port in [1, 65535], or unix:PATH.
bool IsWorkerTarget(const std::string& target);

// "HOST:PORT,unix:PATH,…" into its parts. INVALID_ARGUMENT naming `flag` ("expert_workers") and the
// part that is none, or for an empty list.
absl::StatusOr<std::vector<std::string>> ParseWorkerList(const std::string& list,
                                                         const std::string& flag);

// "ADDRESS:PORT" of every address that the host of `target` (HOST:PORT) resolves to, sorted: one
// address, or unix:PATH, for itself, one for each pod behind a headless service. Where a name has
// IPv4 and IPv6 addresses only the IPv4 ones count, so that a dual-stack host is one worker.
// UNAVAILABLE where the name does not resolve. Blocks as long as the system's resolver does.
absl::StatusOr<std::vector<std::string>> ResolveTarget(const std::string& target);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ADDRESS_RESOLVER_H_
