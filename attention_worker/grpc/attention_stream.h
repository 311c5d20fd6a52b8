// One Run stream of an attention worker, the server's end.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_STREAM_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_STREAM_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "proto/attention.grpc.pb.h"
#include "proto/serving/call_loop.h"

namespace tramontane {

class AttentionStream;

// Who has the requests of streams carried out. Calls come from the loop's thread, or from within
// AttentionStream::End, and return quickly.
class AttentionStreamOwner {
 public:
  virtual ~AttentionStreamOwner() = default;
  // One at a time for a stream, in order. Each is to be answered once, by Answer, or the stream to
  // be ended.
  virtual void OnRequest(const std::shared_ptr<AttentionStream>& stream,
                         v1::AttentionRequest request) = 0;
  // Nobody waits for what was not answered. Again after an OnRequest that ran meanwhile.
  virtual void OnEnd(const std::shared_ptr<AttentionStream>& stream) = 0;
};

// Reads requests and writes answers; one read and one write at a time. A message that is no request
// ends the stream with INVALID_ARGUMENT. Thread-safe.
class AttentionStream final : public CallReactor,
                              public std::enable_shared_from_this<AttentionStream> {
 public:
  // `owner` outlives the stream's call. Nothing is read before StartReading.
  static std::shared_ptr<AttentionStream> Create(AttentionStreamOwner* owner, std::string peer);
  void StartReading();

  const std::string& peer() const { return peer_; }

  // To a request that OnRequest gave. Dropped after the end.
  void Answer(v1::AttentionAnswer answer);
  // Unasked for; a later revision takes the place of one that waits to be written.
  void PushState(const v1::WorkerState& state);
  // Reads no more, writes the answers that there are and ends with `status`; the first one wins.
  // `abandon`: also where requests have not been answered.
  void End(const grpc::Status& status, bool abandon);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  AttentionStream(AttentionStreamOwner* owner, std::string peer);

  // What the current state asks for next; done after the lock is released, because gRPC may call
  // back at once.
  struct NextSteps {
    bool read = false;
    bool write = false;
    bool finish = false;
    v1::AttentionAnswer answer;  // to write
    grpc::Status status;         // to finish with
  };
  bool ending();
  NextSteps Plan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Perform(NextSteps steps);

  AttentionStreamOwner* const owner_;
  const std::string peer_;
  std::shared_ptr<AttentionStream> self_;  // reset in OnDone

  grpc::ByteBuffer incoming_;  // belongs to the read in progress
  grpc::ByteBuffer outgoing_;  // belongs to the write in progress

  std::mutex mutex_;
  int unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<v1::AttentionAnswer> answers_ ABSL_GUARDED_BY(mutex_);  // to write
  uint64_t state_revision_ ABSL_GUARDED_BY(mutex_) = 0;              // of the last one to write
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  // Planned, and StartRead has not returned. One at a time is read, but there may be two of these:
  // the next read may be planned, by another thread, before the last one's StartRead has returned.
  int reads_starting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool handling_ ABSL_GUARDED_BY(mutex_) = false;  // OnRequest runs
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;     // read no more
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;  // finish without waiting for answers
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;     // the peer is gone: write no more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status final_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_STREAM_H_
