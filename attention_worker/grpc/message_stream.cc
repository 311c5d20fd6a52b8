#include "attention_worker/grpc/message_stream.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "proto/wire/status.h"

namespace tramontane {
namespace {

// Less goes out at once, or as good as; what remains of more wants polling.
constexpr size_t kLargeMessage = size_t{512} << 10;

}  // namespace

std::shared_ptr<MessageStream> MessageStream::Create(StreamPump* pump,
                                                     std::shared_ptr<grpc::Channel> channel,
                                                     std::string method, Callbacks callbacks) {
  return std::shared_ptr<MessageStream>(
      new MessageStream(pump, std::move(channel), std::move(method), std::move(callbacks)));
}

MessageStream::MessageStream(StreamPump* pump, std::shared_ptr<grpc::Channel> channel,
                             std::string method, Callbacks callbacks)
    : pump_(pump),
      method_(std::move(method)),
      callbacks_(std::move(callbacks)),
      channel_(std::move(channel)),
      stub_(std::make_unique<grpc::GenericStub>(channel_)),
      context_(std::make_shared<grpc::ClientContext>()) {}

void MessageStream::Start() {
  self_ = shared_from_this();
  pump_->BeginStream();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    call_ = stub_->PrepareCall(context_.get(), method_, pump_->queue());
  }
  call_->StartCall(pump_->Tag(&start_));
}

bool MessageStream::TakeNext() {
  if (!open_ || writing_ || broken_ || waiting_.empty()) return false;
  outgoing_ = std::move(waiting_.front().message);
  outgoing_bytes_ = outgoing_.Length();
  waiting_.pop_front();
  writing_ = true;
  return true;
}

void MessageStream::NoteWish() {
  const bool wishes = !waiting_.empty() || (writing_ && outgoing_bytes_ >= kLargeMessage);
  if (wishes == wishes_) return;
  wishes_ = wishes;
  wishes ? pump_->BeginWish() : pump_->EndWish();
}

void MessageStream::Send(uint64_t id, grpc::ByteBuffer message) {
  bool write = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (broken_) return;  // destroys the message, unlocked
    waiting_.push_back({id, std::move(message)});
    write = TakeNext();
    NoteWish();
  }
  if (write) call_->Write(outgoing_, pump_->Tag(&write_));
}

bool MessageStream::Withdraw(uint64_t id) {
  grpc::ByteBuffer withdrawn;  // destroyed after the lock is released: that calls back
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [id](const Outgoing& outgoing) { return outgoing.id == id; });
  if (found == waiting_.end()) return false;
  withdrawn = std::move(found->message);
  waiting_.erase(found);
  NoteWish();
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

void MessageStream::OnStarted(bool ok) {
  bool write = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = ok;
    write = TakeNext();
    NoteWish();
  }
  if (!ok) return Finish();
  call_->Read(&incoming_, pump_->Tag(&read_));
  if (write) call_->Write(outgoing_, pump_->Tag(&write_));
}

void MessageStream::OnRead(bool ok) {
  if (!ok) return Finish();
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  callbacks_.on_message(std::move(message));
  // A read tells the peer that it may send more, in a packet of its own.
  pump_->BeforeNextPoll(&read_next_);
}

void MessageStream::ReadNext(bool /*ok*/) { call_->Read(&incoming_, pump_->Tag(&read_)); }

void MessageStream::OnWritten(bool ok) {
  outgoing_.Clear();
  bool write = false;
  bool close = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    // After a failed write the read fails too, and ends the stream.
    write = ok && TakeNext();
    NoteWish();
    close = finished_;
  }
  if (write) call_->Write(outgoing_, pump_->Tag(&write_));
  if (close) Close();
}

void MessageStream::Finish() {
  std::deque<Outgoing> dropped;  // destroyed after the lock is released
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    dropped.swap(waiting_);
    NoteWish();
  }
  call_->Finish(&status_, pump_->Tag(&finish_));
}

void MessageStream::OnFinished(bool /*ok*/) {
  bool close = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished_ = true;
    close = !writing_;
  }
  if (close) return Close();
  Cancel();  // what is still being written: nobody reads it
}

void MessageStream::Close() {
  const std::shared_ptr<MessageStream> self = std::move(self_);
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    context.swap(context_);
  }
  call_.reset();
  context.reset();
  stub_.reset();
  const Callbacks callbacks = std::exchange(callbacks_, Callbacks());
  callbacks.on_closed(FromGrpcStatus(status_), std::move(channel_));
  pump_->EndStream();
}

}  // namespace tramontane
