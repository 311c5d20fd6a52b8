// What one coordinator has an attention worker do.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SESSION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SESSION_H_

#include <cstddef>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "proto/attention.pb.h"

namespace tramontane {

// Decodes requests, carries them out and encodes the answers; knows which sequences are this
// coordinator's. Used by the step thread only.
class AttentionSession {
 public:
  // `worker` outlives the session.
  AttentionSession(AttentionClient* worker, int vocab_size);

  // Carries out a request other than `open`. `accepting`: OK, or why no sequence may be added now.
  // Deadlines count from `received`.
  v1::AttentionAnswer Handle(const v1::AttentionRequest& request, absl::Time received,
                             const absl::Status& accepting);
  // An answer without anything but the KV cache's usage.
  v1::AttentionAnswer Acknowledge(uint64_t request_id) const;

  // Releases every sequence; what is still asked for afterwards is answered with UNAVAILABLE.
  void End();
  size_t num_sequences() const { return sequences_.size(); }

 private:
  absl::Status Perform(const v1::AttentionRequest& request, absl::Time received,
                       const absl::Status& accepting, v1::AttentionAnswer& answer);
  absl::Status Add(const v1::AddSequence& request, v1::AttentionAnswer& answer);
  absl::Status Run(const v1::Step& request, absl::Time received, v1::AttentionAnswer& answer);
  void Release(uint64_t sequence_id);

  AttentionClient* const worker_;
  const int vocab_size_;
  std::unordered_set<SequenceId> sequences_;
  bool ended_ = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_SESSION_H_
