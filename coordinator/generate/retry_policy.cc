#include "coordinator/generate/retry_policy.h"

#include <grpc/grpc.h>

#include "absl/strings/str_cat.h"

namespace tramontane {

std::string RetryServiceConfig(int max_attempts) {
  return absl::StrCat(R"({"methodConfig": [{"name": [{"service": "tramontane.v1.Inference"}], )",
                      R"("retryPolicy": {"maxAttempts": )", max_attempts,
                      R"(, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 3, )",
                      R"("retryableStatusCodes": ["UNAVAILABLE"]}}]})");
}

void SetRetryPolicy(int max_attempts, grpc::ChannelArguments* arguments) {
  if (max_attempts <= 1) {
    arguments->SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  } else {
    arguments->SetServiceConfigJSON(RetryServiceConfig(max_attempts));
  }
}

}  // namespace tramontane
