#include "proto/serving/abseil_flag_types.h"

#include "coordinator/tramontanectl/health_command.h"

#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/health.grpc.pb.h"
#include "proto/serving/process.h"
#include "proto/wire/status.h"

ABSL_FLAG(std::string, service, "",
          "health: empty: whether it takes requests; \"live\", on a port of --health_listen: "
          "whether it runs.");

namespace tramontane {

int ShowHealth(const std::string& target, const TlsClient& tls, absl::Duration timeout) {
  const std::unique_ptr<grpc::health::v1::Health::Stub> stub =
      grpc::health::v1::Health::NewStub(tls.NewChannel(target, {}));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(absl::GetFlag(FLAGS_service));
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, request, &response);
  if (!status.ok()) {
    return ExitWith(
        absl::UnavailableError(absl::StrCat(target, ": ", FromGrpcStatus(status).ToString())));
  }
  std::cout << grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status()) << "\n";
  const bool serves = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  return serves ? kExitOk : kExitUnavailable;
}

}  // namespace tramontane
