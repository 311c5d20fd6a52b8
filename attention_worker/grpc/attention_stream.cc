#include "attention_worker/grpc/attention_stream.h"

#include <algorithm>
#include <utility>

#include "proto/wire/call_message.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

// Requests of a stream that were read and are not yet answered. At the limit the stream is read no
// further, so that HTTP/2 flow control holds the peer back.
constexpr int kMaxUnanswered = 16;

}  // namespace

std::shared_ptr<AttentionStream> AttentionStream::Create(AttentionStreamOwner* owner,
                                                         std::string peer) {
  std::shared_ptr<AttentionStream> stream(new AttentionStream(owner, std::move(peer)));
  stream->self_ = stream;
  return stream;
}

AttentionStream::AttentionStream(AttentionStreamOwner* owner, std::string peer)
    : owner_(owner), peer_(std::move(peer)) {}

void AttentionStream::StartReading() {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    steps = Plan();
  }
  Perform(steps);
}

AttentionStream::NextSteps AttentionStream::Plan() {
  NextSteps steps;
  if (finished_) return steps;
  if (broken_) answers_.clear();
  if (!writing_ && !answers_.empty()) {
    steps.answer = std::move(answers_.front());
    answers_.pop_front();
    writing_ = true;
    steps.write = true;
  }
  if (!reading_ && !handling_ && !ending_ &&
      unanswered_ + static_cast<int>(answers_.size()) < kMaxUnanswered) {
    reading_ = true;
    ++reads_starting_;
    steps.read = true;
  }
  // A read in progress does not keep the stream from finishing, but none may start after that.
  if (ending_ && reads_starting_ == 0 && !handling_ && !writing_ && answers_.empty() &&
      (unanswered_ == 0 || abandoned_)) {
    finished_ = true;
    steps.finish = true;
    steps.status = final_status_;
  }
  return steps;
}

void AttentionStream::Perform(NextSteps steps) {
  for (;;) {
    if (steps.write) {
      outgoing_ = SerializeMessage(steps.answer);
      StartWrite(&outgoing_);
    }
    if (steps.finish) Finish(steps.status);
    if (!steps.read) return;
    StartRead(&incoming_);
    const std::lock_guard<std::mutex> lock(mutex_);
    --reads_starting_;
    steps = Plan();
  }
}

bool AttentionStream::ending() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ending_;
}

void AttentionStream::OnReadDone(bool ok) {
  const std::shared_ptr<AttentionStream> self = shared_from_this();
  if (!ok) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      reading_ = false;
    }
    // The peer closed its side, or is gone; then OnCancel comes too.
    End(grpc::Status::OK, /*abandon=*/false);
    return;
  }
  v1::AttentionRequest request;
  const absl::Status parsed = ParseMessage(incoming_, &request);
  incoming_.Clear();
  if (!parsed.ok()) End(ToGrpcStatus(parsed), /*abandon=*/true);
  bool wanted = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reading_ = false;
    wanted = !ending_;
    if (wanted) {
      handling_ = true;
      ++unanswered_;
    }
  }
  if (wanted) {
    owner_->OnRequest(self, std::move(request));
    if (ending()) owner_->OnEnd(self);
  }
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    handling_ = false;
    steps = Plan();
  }
  Perform(steps);
}

void AttentionStream::Answer(v1::AttentionAnswer answer) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --unanswered_;
    if (abandoned_) return;
    if (answer.has_state()) state_revision_ = std::max(state_revision_, answer.state().revision());
    answers_.push_back(std::move(answer));
    steps = Plan();
  }
  Perform(steps);
}

void AttentionStream::PushState(const v1::WorkerState& state) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ending_ || state.revision() <= state_revision_) return;
    state_revision_ = state.revision();
    std::erase_if(answers_,
                  [](const v1::AttentionAnswer& answer) { return answer.request_id() == 0; });
    *answers_.emplace_back().mutable_state() = state;
    steps = Plan();
  }
  Perform(steps);
}

void AttentionStream::End(const grpc::Status& status, bool abandon) {
  const std::shared_ptr<AttentionStream> self = shared_from_this();
  bool first = false;
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    first = !ending_;
    if (first) final_status_ = status;
    ending_ = true;
    abandoned_ = abandoned_ || abandon;
    steps = Plan();
  }
  if (first) owner_->OnEnd(self);
  Perform(steps);
}

void AttentionStream::OnWriteDone(bool ok) {
  const std::shared_ptr<AttentionStream> self = shared_from_this();
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    outgoing_.Clear();
    broken_ = broken_ || !ok;
    steps = Plan();
  }
  Perform(steps);
  if (!ok) End(grpc::Status::CANCELLED, /*abandon=*/true);
}

void AttentionStream::OnCancel() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
  }
  End(grpc::Status::CANCELLED, /*abandon=*/true);
}

void AttentionStream::OnDone() { const std::shared_ptr<AttentionStream> self = std::move(self_); }

}  // namespace tramontane
