// The standard health service, grpc.health.v1, of a server whose calls are a CallLoop's.
#ifndef TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_
#define TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_

#include <grpcpp/health_check_service_interface.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/serving/call_loop.h"

namespace tramontane {

// What gRPC's own service is, which has callbacks of gRPC's; what is no request is answered with
// INVALID_ARGUMENT, where that has INTERNAL. Thread-safe.
class HealthBoard final : public grpc::HealthCheckServiceInterface {
 public:
  HealthBoard();
  ~HealthBoard() override;

  // Check and Watch. They may outlive the board.
  std::vector<LoopMethod> Methods() const;

  void SetServingStatus(const std::string& name, bool serving) override;
  void SetServingStatus(bool serving) override;          // of all names that were set
  void Shutdown() override { SetServingStatus(false); }  // does not outlast a later change
  // Ends all calls of Watch, also those that come, with UNAVAILABLE, once they have heard the last.
  void EndWatches();

 private:
  class Names;
  class Watcher;

  const std::shared_ptr<Names> names_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_
