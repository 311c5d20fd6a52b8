// The flags that the processes coordinator and attention_worker have in common.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_FLAGS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_FLAGS_H_

#include "proto/serving/abseil_flag_types.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/hosted_attention.h"
#include "expert_worker/grpc/backend_flags.h"
#include "proto/serving/tls_client.h"
#include "proto/serving/tls_identity.h"

// What either main reads by itself; CheckAttentionFlags has found it in range.
ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(std::string, metrics_listen);
ABSL_DECLARE_FLAG(std::string, address_file);
ABSL_DECLARE_FLAG(bool, allow_plaintext_beyond_loopback);
ABSL_DECLARE_FLAG(std::string, expert_workers);
ABSL_DECLARE_FLAG(std::string, expert_workers_file);
ABSL_DECLARE_FLAG(bool, experts_in_process);
ABSL_DECLARE_FLAG(int, kv_block_size);
ABSL_DECLARE_FLAG(int, max_step_tokens);

namespace tramontane {

// INVALID_ARGUMENT or FAILED_PRECONDITION naming the flag that is missing or out of range. Before
// minutes of loading, not after.
absl::Status CheckAttentionFlags();
// INVALID_ARGUMENT unless either --experts_in_process or expert workers are given; else as
// CheckWorkerLists. `or_else` ends the message: what the process may do instead.
absl::Status CheckExpertFlags(absl::string_view or_else = "");
// Fails as ParseWorkerList and WorkerListFile::Open; what is empty is not looked at.
absl::Status CheckWorkerLists(const std::string& workers, const std::string& workers_flag,
                              const std::string& file, const std::string& file_flag);

// --model_name, or the last component of --model.
std::string ModelNameFlag();
absl::Duration DrainTimeoutFlag();
// How workers are connected to: as `identity` (null: plaintext), by --worker_tls_name.
TlsClient WorkerTls(std::shared_ptr<const TlsIdentity> identity);
// What they ask for; after all checks.
HostedAttentionOptions HostedAttentionFlags(std::shared_ptr<const TlsIdentity> identity);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_FLAGS_H_
