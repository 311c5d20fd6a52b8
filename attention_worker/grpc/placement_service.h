// Serves proto/placement.proto.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_

#include <functional>
#include <utility>

#include "proto/placement.grpc.pb.h"

namespace tramontane {

// Thread-safe. Outlives the server that it is registered with.
class PlacementService final : public v1::Placement::CallbackService {
 public:
  // `describe` is called from any thread, and returns quickly.
  explicit PlacementService(std::function<v1::GetPlacementResponse()> describe)
      : describe_(std::move(describe)) {}

  grpc::ServerUnaryReactor* GetPlacement(grpc::CallbackServerContext* context,
                                         const v1::GetPlacementRequest* /*request*/,
                                         v1::GetPlacementResponse* response) override {
    *response = describe_();
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const std::function<v1::GetPlacementResponse()> describe_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_SERVICE_H_
