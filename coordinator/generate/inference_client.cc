#include "coordinator/generate/inference_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/generate/retry_policy.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& target, const TlsClient& tls,
                                       int max_attempts) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  SetRetryPolicy(max_attempts, &arguments);
  return tls.NewChannel(target, std::move(arguments));
}

}  // namespace

void ShowToken(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

class InferenceClient::RunningCall {
 public:
  explicit RunningCall(InferenceClient& client) : client_(client) {
    if (client.timeout_ > absl::ZeroDuration()) {
      context_.set_deadline(absl::ToChronoTime(absl::Now() + client.timeout_));
    }
    ShowToken(client.token_, &context_);
    const std::lock_guard<std::mutex> lock(client_.mutex_);
    client_.running_ = &context_;
  }
  ~RunningCall() {
    const std::lock_guard<std::mutex> lock(client_.mutex_);
    client_.running_ = nullptr;
  }
  grpc::ClientContext* context() { return &context_; }

 private:
  InferenceClient& client_;
  grpc::ClientContext context_;
};

InferenceClient::InferenceClient(std::string target, absl::Duration timeout, const TlsClient& tls,
                                 std::string token, int max_attempts)
    : target_(std::move(target)),
      timeout_(timeout),
      token_(std::move(token)),
      stub_(v1::Inference::NewStub(Connect(target_, tls, max_attempts))) {}

absl::Status InferenceClient::Generate(
    const v1::GenerateRequest& request,
    const std::function<void(const v1::GenerateResponse&)>& on_message) {
  RunningCall call(*this);
  const std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader =
      stub_->Generate(call.context(), request);
  v1::GenerateResponse message;
  while (reader->Read(&message)) on_message(message);
  return Explain(reader->Finish());
}

absl::StatusOr<v1::GetModelResponse> InferenceClient::GetModel() {
  RunningCall call(*this);
  v1::GetModelResponse response;
  const absl::Status status =
      Explain(stub_->GetModel(call.context(), v1::GetModelRequest(), &response));
  if (!status.ok()) return status;
  return response;
}

bool InferenceClient::Cancel() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (running_ == nullptr) return false;
  running_->TryCancel();
  return true;
}

absl::Status InferenceClient::Explain(const grpc::Status& status) const {
  const absl::Status converted = FromGrpcStatus(status);
  if (converted.ok()) return converted;
  return absl::Status(converted.code(), absl::StrCat(target_, ": ", converted.message()));
}

}  // namespace tramontane
