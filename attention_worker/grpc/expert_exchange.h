// Batches to one expert worker and its answers: what GrpcExpertClient does.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_EXCHANGE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_EXCHANGE_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/grpc/flight_table.h"
#include "attention_worker/grpc/message_stream.h"
#include "attention_worker/grpc/stream_pump.h"
#include "proto/wire/expert_result.h"
#include "proto/wire/message.h"

namespace tramontane {

// Thread-safe. Answers and the end of the stream are delivered by whoever polls the pump, deadlines
// by Run's thread.
class ExpertExchange : public std::enable_shared_from_this<ExpertExchange> {
 public:
  // The pump outlives Run.
  static std::shared_ptr<ExpertExchange> Open(
      StreamPump* pump, const std::string& address, ExpertWorkerDescription description,
      std::shared_ptr<grpc::Channel> channel,
      std::function<void(const absl::Status&)> on_disconnect);

  const std::string& address() const { return address_; }
  const ExpertWorkerDescription& description() const { return description_; }
  void Execute(ExpertBatch batch, ExpertClient::Done done);  // as ExpertClient

  // Keeps deadlines until the stream has ended and all is answered; then calls on_disconnect,
  // unless Close was called. It is called before, once, where the worker says that it shuts down.
  void Run();
  // Ends the stream.
  void Close();

  // True inside of a `done` or on_disconnect: Run may not be waited for there.
  static bool InCallback();

 private:
  ExpertExchange(const std::string& address, ExpertWorkerDescription description,
                 std::function<void(const absl::Status&)> on_disconnect);

  absl::Status CheckBatch(const ExpertBatch& batch) const;
  void OnMessage(const grpc::ByteBuffer& buffer);
  void NoteDraining();
  // Calls on_disconnect, once. From Run.
  void Tell(const absl::Status& status);
  void OnClosed(const absl::Status& status, std::shared_ptr<grpc::Channel> channel);
  absl::StatusOr<ExpertBatchResult> ReadAnswer(const FlightTable::Shape& shape,
                                               const WireExpertResult& answer,
                                               const std::vector<Piece>& rows,
                                               std::shared_ptr<ReceivedMessage> message,
                                               absl::Time received) const;
  void WakeAt(absl::Time time);  // Run, at the latest
  // Expires what is due; returns when to look again.
  absl::Time KeepDeadlines();
  absl::Status Named(const absl::Status& status) const;  // with the worker's address

  const std::string address_;
  const ExpertWorkerDescription description_;
  const std::function<void(const absl::Status&)> on_disconnect_;
  FlightTable flights_;
  std::shared_ptr<MessageStream> stream_;

  std::mutex mutex_;
  std::condition_variable changed_;                                   // of anything below
  absl::Time wake_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // when Run looks again
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);        // the stream has ended
  std::shared_ptr<grpc::Channel> closed_channel_
      ABSL_GUARDED_BY(mutex_);  // for Run to let go, while steps go on
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;  // the worker says so
  bool told_ ABSL_GUARDED_BY(mutex_) = false;      // on_disconnect has been called
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_EXCHANGE_H_
