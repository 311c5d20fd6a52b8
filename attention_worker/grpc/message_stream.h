// The client's end of one bidirectional stream: raw messages out and in.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

namespace tramontane {

// Sends in order, one write at a time; reads all the time. Thread-safe. Keeps itself alive until
// on_closed has returned.
class MessageStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public std::enable_shared_from_this<MessageStream> {
 public:
  struct Callbacks {
    std::function<void(grpc::ByteBuffer message)> on_message;  // one at a time, in order
    // Once, last; `status` is the server's word or the reason of the break. Messages that were not
    // sent are gone by then. The connection ends, and gives back what it holds of those in flight,
    // with the last reference to `channel`. Let it go on a thread that is not gRPC's: the end of a
    // process's last channel waits for the threads that callbacks run on.
    std::function<void(const absl::Status& status, std::shared_ptr<grpc::Channel> channel)>
        on_closed;
  };

  // `method`: "/package.Service/Method".
  static std::shared_ptr<MessageStream> Create(std::shared_ptr<grpc::Channel> channel,
                                               std::string method, Callbacks callbacks);
  // Opens it; called once, before anything else. Callbacks may come before it has returned.
  void Start();

  // `id` names the message for Withdraw. After the end of the stream the message is dropped.
  void Send(uint64_t id, grpc::ByteBuffer message);
  // Drops a message that is still waiting to be written; false where it is not.
  bool Withdraw(uint64_t id);
  // Breaks the stream.
  void Cancel();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  struct Outgoing {
    uint64_t id;
    grpc::ByteBuffer message;
  };

  MessageStream(std::shared_ptr<grpc::Channel> channel, std::string method, Callbacks callbacks);
  // Takes the next message into outgoing_; false where there is none, or a write is in progress.
  bool TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string method_;
  Callbacks callbacks_;  // cleared at the end: their owner may own the stream
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>> stub_;
  std::shared_ptr<MessageStream> self_;  // reset in OnDone

  grpc::ByteBuffer incoming_;  // belongs to the read in progress
  grpc::ByteBuffer outgoing_;  // belongs to the write in progress

  std::mutex mutex_;
  // Null after the end: it keeps the channel.
  std::shared_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mutex_);
  std::deque<Outgoing> waiting_ ABSL_GUARDED_BY(mutex_);  // bounded by the caller
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // no write may start any more
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_MESSAGE_STREAM_H_
