#include "attention_worker/grpc/message_stream.h"

#include <algorithm>
#include <utility>

#include "proto/wire/status.h"

namespace tramontane {

std::shared_ptr<MessageStream> MessageStream::Create(std::shared_ptr<grpc::Channel> channel,
                                                     std::string method, Callbacks callbacks) {
  return std::shared_ptr<MessageStream>(
      new MessageStream(std::move(channel), std::move(method), std::move(callbacks)));
}

MessageStream::MessageStream(std::shared_ptr<grpc::Channel> channel, std::string method,
                             Callbacks callbacks)
    : method_(std::move(method)),
      callbacks_(std::move(callbacks)),
      channel_(std::move(channel)),
      stub_(std::make_unique<grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>>(
          channel_)),
      context_(std::make_shared<grpc::ClientContext>()) {}

void MessageStream::Start() {
  self_ = shared_from_this();
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    context = context_;
  }
  stub_->PrepareBidiStreamingCall(context.get(), method_, grpc::StubOptions(), this);
  // Holds, since writes start outside of gRPC's reactions: this one until no write may start any
  // more, and one of each write from its planning to its start.
  AddHold();
  StartRead(&incoming_);
  StartCall();
}

bool MessageStream::TakeNext() {
  if (writing_ || broken_ || waiting_.empty()) return false;
  outgoing_ = std::move(waiting_.front().message);
  waiting_.pop_front();
  writing_ = true;
  AddHold();
  return true;
}

void MessageStream::Send(uint64_t id, grpc::ByteBuffer message) {
  bool write = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (broken_) return;  // destroys the message, unlocked
    waiting_.push_back({id, std::move(message)});
    write = TakeNext();
  }
  if (!write) return;
  StartWrite(&outgoing_);
  RemoveHold();
}

bool MessageStream::Withdraw(uint64_t id) {
  grpc::ByteBuffer withdrawn;  // destroyed after the lock is released: that calls back
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [id](const Outgoing& outgoing) { return outgoing.id == id; });
  if (found == waiting_.end()) return false;
  withdrawn = std::move(found->message);
  waiting_.erase(found);
  return true;
}

void MessageStream::Cancel() {
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    context = context_;
  }
  if (context != nullptr) context->TryCancel();
}

void MessageStream::OnReadDone(bool ok) {
  if (ok) {
    grpc::ByteBuffer message;
    message.Swap(&incoming_);
    callbacks_.on_message(std::move(message));
    StartRead(&incoming_);
    return;
  }
  std::deque<Outgoing> dropped;  // destroyed after the lock is released
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    dropped.swap(waiting_);
  }
  RemoveHold();
}

void MessageStream::OnWriteDone(bool ok) {
  outgoing_.Clear();
  bool write = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    write = ok && TakeNext();
  }
  if (!write) return;  // after a failed write the read fails too, and ends the stream
  StartWrite(&outgoing_);
  RemoveHold();
}

void MessageStream::OnDone(const grpc::Status& status) {
  const std::shared_ptr<MessageStream> self = std::move(self_);
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    context.swap(context_);
  }
  context.reset();
  stub_.reset();
  const Callbacks callbacks = std::exchange(callbacks_, Callbacks());
  callbacks.on_closed(FromGrpcStatus(status), std::move(channel_));
}

}  // namespace tramontane
