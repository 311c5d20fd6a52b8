// The client's end of one bidirectional stream: raw messages out and in.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "attention_worker/grpc/stream_pump.h"

namespace tramontane {

// Sends in order, one write at a time; reads all the time. Thread-safe. Keeps itself alive until
// on_closed has returned.
class MessageStream final : public std::enable_shared_from_this<MessageStream> {
 public:
  // Called by whoever polls the pump, one at a time.
  struct Callbacks {
    std::function<void(grpc::ByteBuffer message)> on_message;  // in order
    // Once, last; `status` is the server's word or the reason of the break. Messages that were not
    // sent are gone by then. The connection ends, and gives back what it holds of those in flight,
    // with the last reference to `channel`: let it go elsewhere, as that takes its time.
    std::function<void(const absl::Status& status, std::shared_ptr<grpc::Channel> channel)>
        on_closed;
  };

  // `method`: "/package.Service/Method". The pump outlives on_closed.
  static std::shared_ptr<MessageStream> Create(StreamPump* pump,
                                               std::shared_ptr<grpc::Channel> channel,
                                               std::string method, Callbacks callbacks);
  // Opens it; called once, before anything else. Callbacks may come before it has returned.
  void Start();

  // `id` names the message for Withdraw. After the end of the stream the message is dropped.
  void Send(uint64_t id, grpc::ByteBuffer message);
  // Drops a message that is still waiting to be written; false where it is not.
  bool Withdraw(uint64_t id);
  // Breaks the stream.
  void Cancel();

 private:
  struct Outgoing {
    uint64_t id;
    grpc::ByteBuffer message;
  };
  // Hears of the stream's operations of one kind.
  using Operation = MemberEvent<MessageStream>;

  MessageStream(StreamPump* pump, std::shared_ptr<grpc::Channel> channel, std::string method,
                Callbacks callbacks);
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void ReadNext(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // Takes the next message into outgoing_, to be written; false where there is none, or a write is
  // in progress.
  bool TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether what is to be written needs somebody who polls, also while no step waits for answers.
  void NoteWish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // No write may start any more, and the server's word is asked for.
  void Finish();
  // Nothing is in progress any more.
  void Close();

  StreamPump* const pump_;
  const std::string method_;
  Callbacks callbacks_;  // cleared at the end: their owner may own the stream
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  std::shared_ptr<MessageStream> self_;  // reset in Close

  Operation start_{this, &MessageStream::OnStarted};
  Operation read_{this, &MessageStream::OnRead};
  Operation read_next_{this, &MessageStream::ReadNext};
  Operation write_{this, &MessageStream::OnWritten};
  Operation finish_{this, &MessageStream::OnFinished};
  grpc::ByteBuffer incoming_;  // belongs to the read in progress
  grpc::ByteBuffer outgoing_;  // belongs to the write in progress
  grpc::Status status_;        // belongs to the finish in progress

  std::mutex mutex_;
  // Null after the end: it keeps the channel.
  std::shared_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mutex_);
  std::deque<Outgoing> waiting_ ABSL_GUARDED_BY(mutex_);  // bounded by the caller
  bool open_ ABSL_GUARDED_BY(mutex_) = false;             // writes may start
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;           // never again
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  size_t outgoing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool wishes_ ABSL_GUARDED_BY(mutex_) = false;  // the pump has been told
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_
