// Sequences, steps and results <-> proto/attention.proto.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_MESSAGES_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_MESSAGES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "proto/attention.pb.h"

namespace tramontane {

void ToMessage(const SequenceSpec& spec, v1::AddSequence* message);
// INVALID_ARGUMENT naming the field for a value that no coordinator sends; logit_bias is checked
// against vocab_size. The rest is AttentionClient::AddSequence's to check.
absl::StatusOr<SequenceSpec> FromMessage(const v1::AddSequence& message, int vocab_size);

// The deadline travels as what is left of it at `now`: at least a microsecond.
void ToMessage(const StepRequest& request, absl::Time now, v1::Step* message);
// INVALID_ARGUMENT for numbers that are no positions or ids. The rest is AttentionClient::Step's to
// check.
absl::StatusOr<StepRequest> FromMessage(const v1::Step& message, absl::Time now);

void ToMessage(const StepResult& result, v1::StepResult* message);
// INTERNAL for lists whose lengths contradict each other, or ids that are none.
absl::StatusOr<StepResult> FromMessage(const v1::StepResult& message);

void ToMessage(const KvCacheUsage& usage, v1::KvCacheUsage* message);
// INTERNAL for more free blocks than there are, or blocks of no tokens.
absl::StatusOr<KvCacheUsage> FromMessage(const v1::KvCacheUsage& message);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_MESSAGES_H_
