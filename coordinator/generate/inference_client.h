// A coordinator's API, as the command line calls it.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_INFERENCE_CLIENT_H_
#define TRAMONTANE_COORDINATOR_GENERATE_INFERENCE_CLIENT_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/inference.grpc.pb.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

// Has the call show `token`, unless that is "".
void ShowToken(const std::string& token, grpc::ClientContext* context);

// Calls one server, one call at a time. Cancel may come from any thread.
class InferenceClient {
 public:
  // `timeout` is that of each call; zero: none. `token` is shown with each call; "": none. Calls
  // that end with UNAVAILABLE before they have begun are made `max_attempts` times in all.
  InferenceClient(std::string target, absl::Duration timeout, const TlsClient& tls = {},
                  std::string token = "", int max_attempts = 1);

  // `on_message` is called for each message of the stream. Errors begin with the target, and are
  // the server's, or UNAVAILABLE where nobody answers.
  absl::Status Generate(const v1::GenerateRequest& request,
                        const std::function<void(const v1::GenerateResponse&)>& on_message);
  absl::StatusOr<v1::GetModelResponse> GetModel();

  // Cancels the running call, on the server too. False where none is running.
  bool Cancel();

 private:
  // Makes `context` the running call, with the deadline, for as long as the guard lives.
  class RunningCall;

  absl::Status Explain(const grpc::Status& status) const;

  const std::string target_;
  const absl::Duration timeout_;
  const std::string token_;
  const std::unique_ptr<v1::Inference::Stub> stub_;

  std::mutex mutex_;
  grpc::ClientContext* running_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_INFERENCE_CLIENT_H_
