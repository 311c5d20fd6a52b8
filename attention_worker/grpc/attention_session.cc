#include "attention_worker/grpc/attention_session.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "attention_worker/grpc/attention_messages.h"

namespace tramontane {

AttentionSession::AttentionSession(AttentionClient* worker, int vocab_size)
    : worker_(worker), vocab_size_(vocab_size) {}

v1::AttentionAnswer AttentionSession::Handle(const v1::AttentionRequest& request,
                                             absl::Time received, const absl::Status& accepting) {
  v1::AttentionAnswer answer = Acknowledge(request.request_id());
  const absl::Status status = Perform(request, received, accepting, answer);
  answer.set_status_code(static_cast<uint32_t>(status.code()));
  answer.set_status_message(std::string(status.message()));
  ToMessage(worker_->kv_cache_usage(), answer.mutable_kv_cache_usage());
  return answer;
}

absl::Status AttentionSession::Perform(const v1::AttentionRequest& request, absl::Time received,
                                       const absl::Status& accepting, v1::AttentionAnswer& answer) {
  if (ended_) return absl::UnavailableError("the stream has ended");
  switch (request.request_case()) {
    case v1::AttentionRequest::kAddSequence:
      return accepting.ok() ? Add(request.add_sequence(), answer) : accepting;
    case v1::AttentionRequest::kStep:
      return Run(request.step(), received, answer);
    case v1::AttentionRequest::kReleaseSequence:
      Release(request.release_sequence().sequence_id());
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          "expected one of add_sequence, step and release_sequence; is the coordinator newer?");
  }
}

v1::AttentionAnswer AttentionSession::Acknowledge(uint64_t request_id) const {
  v1::AttentionAnswer answer;
  answer.set_request_id(request_id);
  ToMessage(worker_->kv_cache_usage(), answer.mutable_kv_cache_usage());
  return answer;
}

absl::Status AttentionSession::Add(const v1::AddSequence& request, v1::AttentionAnswer& answer) {
  const absl::StatusOr<SequenceSpec> spec = FromMessage(request, vocab_size_);
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<int> cached = worker_->AddSequence(*spec);
  if (!cached.ok()) return cached.status();
  sequences_.insert(spec->id);
  answer.set_cached_tokens(static_cast<uint32_t>(*cached));
  return absl::OkStatus();
}

absl::Status AttentionSession::Run(const v1::Step& request, absl::Time received,
                                   v1::AttentionAnswer& answer) {
  const absl::StatusOr<StepRequest> step = FromMessage(request, received);
  if (!step.ok()) return step.status();
  const absl::StatusOr<StepResult> result = worker_->Step(*step);
  if (!result.ok()) return result.status();
  ToMessage(*result, answer.mutable_step_result());
  return absl::OkStatus();
}

void AttentionSession::Release(uint64_t sequence_id) {
  if (sequences_.erase(sequence_id) != 0) worker_->ReleaseSequence(sequence_id);
}

void AttentionSession::End() {
  ended_ = true;
  for (const SequenceId id : sequences_) worker_->ReleaseSequence(id);
  sequences_.clear();
}

}  // namespace tramontane
