// Serves proto/placement.proto.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_

#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "proto/placement.grpc.pb.h"
#include "proto/wire/status.h"

namespace tramontane {

// Thread-safe. Outlives the server that it is registered with.
class PlacementService final : public v1::Placement::CallbackService {
 public:
  using AdmitFunction = std::function<absl::Status(grpc::CallbackServerContext* context)>;

  // Both are called from any thread, and return quickly. `admit`: whether a call may go on; null:
  // every call may.
  explicit PlacementService(std::function<v1::GetPlacementResponse()> describe,
                            AdmitFunction admit = nullptr)
      : describe_(std::move(describe)), admit_(std::move(admit)) {}

  grpc::ServerUnaryReactor* GetPlacement(grpc::CallbackServerContext* context,
                                         const v1::GetPlacementRequest* /*request*/,
                                         v1::GetPlacementResponse* response) override {
    const absl::Status admitted = admit_ == nullptr ? absl::OkStatus() : admit_(context);
    if (admitted.ok()) *response = describe_();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(admitted));
    return reactor;
  }

 private:
  const std::function<v1::GetPlacementResponse()> describe_;
  const AdmitFunction admit_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
