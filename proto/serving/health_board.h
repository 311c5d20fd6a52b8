// The standard health service, grpc.health.v1, of a server whose calls are a CallLoop's.
#ifndef TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_
#define TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_

#include <grpcpp/health_check_service_interface.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/serving/call_loop.h"

namespace tramontane {

// Answers as gRPC's own service does, which has callbacks of gRPC's. Thread-safe.
class HealthBoard final : public grpc::HealthCheckServiceInterface {
 public:
  HealthBoard();
  ~HealthBoard() override;

  // Check and Watch. They may outlive the board.
  std::vector<LoopMethod> Methods() const;

  void SetServingStatus(const std::string& name, bool serving) override;
  void SetServingStatus(bool serving) override;  // of all names that were set
  void Shutdown() override { SetServingStatus(false); }

 private:
  class Names;
  class Watcher;

  const std::shared_ptr<Names> names_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_HEALTH_BOARD_H_
