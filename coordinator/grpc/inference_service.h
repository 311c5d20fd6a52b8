// The public API over gRPC: proto/inference.proto.
#ifndef TRAMONTANE_COORDINATOR_GRPC_INFERENCE_SERVICE_H_
#define TRAMONTANE_COORDINATOR_GRPC_INFERENCE_SERVICE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/grpc/api_access.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/scheduler.h"
#include "coordinator/served_model.h"
#include "coordinator/token_stream.h"
#include "proto/inference.grpc.pb.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/task_thread.h"
#include "proto/wire/field_counts.h"

namespace tramontane {

// Decodes, calls the core, converts the status, counts. Thread-safe.
class InferenceService final
    : public v1::Inference::WithRawCallbackMethod_Generate<
          v1::Inference::WithRawCallbackMethod_Tokenize<
              v1::Inference::WithRawCallbackMethod_Detokenize<
                  v1::Inference::WithRawCallbackMethod_GetModel<v1::Inference::Service>>>> {
 public:
  struct Dependencies {  // all outlive the service and its calls
    const ServedModel* model = nullptr;
    Scheduler* scheduler = nullptr;
    TaskThread* delivery = nullptr;
    TaskThread* reading = nullptr;  // of large requests: what they say, and their tokens
    CoordinatorMetrics* metrics = nullptr;
    // UNAVAILABLE, naming the experts that have no worker, while Generate cannot run.
    std::function<absl::Status()> readiness;
    absl::Duration slow_client_timeout = absl::Seconds(60);
    ApiAccess* access = nullptr;                  // null: everybody may call
    SecurityMetrics* security_metrics = nullptr;  // not null with `access`
  };
  explicit InferenceService(Dependencies dependencies);
  // Once no call runs any more. Waits for `reading` to be done with the last.
  ~InferenceService() override;

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

  // UNAUTHENTICATED or RESOURCE_EXHAUSTED, with the metadata that goes with it, where the call's
  // token does not let it go on. `permit` null: a call that ends at once. For other services of the
  // same port, too.
  absl::Status Admit(grpc::CallbackServerContext* context, ApiPermit* permit) const;

 private:
  // Has `read` run, at once or by `reading`. RESOURCE_EXHAUSTED where too many wait there.
  absl::Status Read(size_t num_bytes, std::function<void()> read);
  // A unary call whose work grows with its text. `limit` is of a field that is repeated, if any.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* AnswerText(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
      grpc::ByteBuffer* response, const FieldLimit& limit,
      std::function<absl::Status(const Request& request, Response* response)> handle);
  // The most turns of a conversation that the context can hold.
  int64_t MaxMessages() const;
  // Parses it into `request`, too. Fails as CheckFieldCounts, ParseMessage, PlanGeneration,
  // `readiness` and Scheduler::Submit.
  absl::StatusOr<std::shared_ptr<TokenStream>> Submit(const grpc::ByteBuffer& bytes,
                                                      absl::Time deadline,
                                                      v1::GenerateRequest* request);

  const Dependencies dependencies_;
  std::atomic<int> num_waiting_{0};  // tasks of `reading`
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_INFERENCE_SERVICE_H_
