// One Execute stream of an expert worker.
#ifndef TRAMONTANE_EXPERT_WORKER_GRPC_EXECUTE_STREAM_H_
#define TRAMONTANE_EXPERT_WORKER_GRPC_EXECUTE_STREAM_H_

#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "expert_worker/expert_executor.h"
#include "proto/serving/call_loop.h"
#include "proto/wire/expert_batch.h"
#include "proto/wire/message.h"

namespace tramontane {

struct ExecuteStreamOptions {
  WireExpertBatchLimits limits;
  // Batches of one stream that were read and are not yet answered. At either limit the stream is
  // read no further, so that HTTP/2 flow control holds the peer back.
  int max_outstanding_batches = 128;
  // Of those batches, with the rows of their answers, and of answers that wait to be written.
  size_t max_held_bytes = size_t{256} << 20;
  uint64_t stream = 0;  // unique among the executor's streams
};

// Decodes batches, submits them to the executor, writes the answers in the order in which they are
// ready. The On… methods are called one at a time; answers come from the executor's thread as well.
//
// The stream ends when nothing is outstanding: every submitted batch is answered first, also after
// the peer has gone, since the executor's answers refer to this object.
class ExecuteStream final : public CallReactor {
 public:
  // `executor` outlives the stream. `on_done` is called last, from the loop's thread.
  static std::shared_ptr<ExecuteStream> Start(ExpertExecutor* executor,
                                              const ExecuteStreamOptions& options,
                                              std::function<void(ExecuteStream*)> on_done);

  // Tells the peer that the worker shuts down; batches are still taken.
  void AnnounceDraining();
  // Ends the stream with UNAVAILABLE once what is outstanding is answered.
  void StartDraining();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  ExecuteStream(ExpertExecutor* executor, const ExecuteStreamOptions& options,
                std::function<void(ExecuteStream*)> on_done);

  // What the current state asks for next; done after the lock is released: its end may be handled,
  // by another thread, before its start has returned.
  struct NextSteps {
    bool read = false;
    bool write = false;
    bool finish = false;
    grpc::Status status;
  };
  NextSteps Plan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayHoldMore() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Perform(NextSteps steps);

  void HandleBatch(absl::Time received);
  void Submit(WireExpertBatch batch, std::vector<Piece> rows,
              std::shared_ptr<ReceivedMessage> message, absl::Time received);
  void CancelBatches(const std::vector<uint64_t>& batch_ids);
  // Of a batch that never reached the executor, or unasked for.
  void QueueMessage(grpc::ByteBuffer message);
  void QueueAnswer(uint64_t batch_id, grpc::ByteBuffer answer);
  // Ends the stream; the first status wins.
  void End(const grpc::Status& status);

  ExpertExecutor* const executor_;
  const ExecuteStreamOptions options_;
  const std::function<void(ExecuteStream*)> on_done_;
  std::shared_ptr<ExecuteStream> self_;  // reset in OnDone

  grpc::ByteBuffer incoming_;  // belongs to the read in progress
  grpc::ByteBuffer outgoing_;  // belongs to the write in progress

  struct OutstandingBatch {
    std::shared_ptr<std::atomic<bool>> cancelled;
    size_t held_bytes;  // the batch and the rows of its answer
  };

  std::mutex mutex_;
  // Not yet answered, by id.
  std::unordered_map<uint64_t, OutstandingBatch> outstanding_ ABSL_GUARDED_BY(mutex_);
  std::deque<grpc::ByteBuffer> answers_ ABSL_GUARDED_BY(mutex_);  // to write
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  // Planned, and StartRead has not returned. One at a time is read, but there may be two of these:
  // the next read may be planned, by another thread, before the last one's StartRead has returned.
  int reads_starting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool handling_ ABSL_GUARDED_BY(mutex_) = false;  // a message was read and is being submitted
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // read no more; finish when nothing is left
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // the peer is gone: write no more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status final_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_GRPC_EXECUTE_STREAM_H_
