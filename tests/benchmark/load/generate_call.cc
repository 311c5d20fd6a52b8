#include "tests/benchmark/load/generate_call.h"

#include <utility>

#include "proto/wire/status.h"

namespace tramontane {

GenerateCall::GenerateCall(LoadRecorder* recorder, grpc::ClientContext* context,
                           const RequestTimeline& timeline, uint64_t cancel_after_tokens,
                           OnEnd on_end)
    : recorder_(recorder),
      context_(context),
      cancel_after_tokens_(cancel_after_tokens),
      on_end_(std::move(on_end)),
      timeline_(timeline) {}

void GenerateCall::Start(v1::Inference::Stub& stub, const v1::GenerateRequest& request) {
  stub.async()->Generate(context_, &request, this);
  StartRead(&message_);
  StartCall();
}

void GenerateCall::OnReadDone(bool ok) {
  if (!ok) return;
  const LoadClock::time_point now = LoadClock::now();
  if (message_.token_ids_size() > 0) {
    recorder_->AddTokens(timeline_, static_cast<uint64_t>(message_.token_ids_size()), now);
  }
  if (message_.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) {
    end_.usage_prompt_tokens = message_.usage().prompt_tokens();
    end_.usage_output_tokens = message_.usage().completion_tokens();
    end_.queue_ms = message_.timings().queue_ms();
  }
  if (cancel_after_tokens_ > 0 && !cancel_sent_ &&
      timeline_.output_tokens >= cancel_after_tokens_) {
    cancel_sent_ = true;
    context_->TryCancel();
  }
  StartRead(&message_);
}

void GenerateCall::OnDone(const grpc::Status& status) {
  end_.status = FromGrpcStatus(status);
  end_.cancelled = cancel_sent_ && absl::IsCancelled(end_.status);
  on_end_(this, timeline_, end_);
  delete this;
}

}  // namespace tramontane
