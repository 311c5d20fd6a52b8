// Serves proto/placement.proto, by callbacks of gRPC's or in a CallLoop.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/placement.grpc.pb.h"
#include "proto/serving/call_loop.h"
#include "proto/serving/task_thread.h"
#include "proto/serving/unary_call.h"
#include "proto/wire/call_message.h"

namespace tramontane {

// For Listener::StartLoop. `describe` is called by `thread`, which outlives the listener.
inline LoopMethod PlacementMethod(std::function<v1::GetPlacementResponse()> describe,
                                  TaskThread* thread) {
  return UnaryMethod<v1::GetPlacementRequest, v1::GetPlacementResponse>(
      absl::StrCat("/", v1::Placement::service_full_name(), "/GetPlacement"),
      [describe = std::move(describe)](const v1::GetPlacementRequest&) { return describe(); },
      thread);
}

// Thread-safe. Outlives the server that it is registered with.
class PlacementService final
    : public v1::Placement::WithRawCallbackMethod_GetPlacement<v1::Placement::Service> {
 public:
  using AdmitFunction = std::function<absl::Status(grpc::CallbackServerContext* context)>;

  // Both are called from any thread, and return quickly. `admit`: whether a call may go on; null:
  // every call may.
  explicit PlacementService(std::function<v1::GetPlacementResponse()> describe,
                            AdmitFunction admit = nullptr)
      : describe_(std::move(describe)), admit_(std::move(admit)) {}

  grpc::ServerUnaryReactor* GetPlacement(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetPlacementRequest, v1::GetPlacementResponse>(
        context, admit_ == nullptr ? absl::OkStatus() : admit_(context), request, response,
        [this](const v1::GetPlacementRequest& /*request*/, v1::GetPlacementResponse* placement) {
          *placement = describe_();
          return absl::OkStatus();
        });
  }

 private:
  const std::function<v1::GetPlacementResponse()> describe_;
  const AdmitFunction admit_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
