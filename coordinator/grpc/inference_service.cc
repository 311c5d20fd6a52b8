#include "coordinator/grpc/inference_service.h"

#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/detokenizer.h"
#include "coordinator/grpc/generate_stream.h"
#include "coordinator/grpc/inference_messages.h"
#include "coordinator/grpc/retry_pushback.h"
#include "coordinator/prompt_encoding.h"
#include "coordinator/request_validation.h"
#include "coordinator/retry_hint.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

// After RESOURCE_EXHAUSTED that tells nothing of its own.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);
constexpr char kAuthorization[] = "authorization";

// With alternatives for each token a message stays far below the 4 MiB that gRPC clients accept by
// default. With routing, the API promises each token its own.
constexpr int64_t kTokensPerMessage = 1024;
constexpr int64_t kTokensPerMessageWithRouting = 1;

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                  : absl::FromChrono(deadline);
}

absl::StatusOr<std::vector<int32_t>> EncodeTokenizeRequest(const ServedModel& model,
                                                           const v1::TokenizeRequest& request) {
  if (request.has_text() != request.messages().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("text: ", request.has_text() ? "both text and messages were" : "neither was",
                     " given; expected exactly one of text and messages"));
  }
  if (request.has_text()) return EncodeText(model, "text", request.text(), !request.no_bos());
  return EncodeMessages(model, FromMessages(request.messages()));
}

grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace

InferenceService::InferenceService(Dependencies dependencies)
    : dependencies_(std::move(dependencies)) {}

absl::Status InferenceService::Admit(grpc::CallbackServerContext* context,
                                     ApiPermit* permit) const {
  if (dependencies_.access == nullptr) return absl::OkStatus();
  const auto& metadata = context->client_metadata();
  const auto header = metadata.find(kAuthorization);
  std::string_view authorization;
  if (header != metadata.end()) authorization = {header->second.data(), header->second.size()};
  ApiRefusal refusal;
  if (dependencies_.access->Admit(authorization, absl::Now(), permit, &refusal)) {
    return absl::OkStatus();
  }
  dependencies_.security_metrics->CountFailure(refusal.reason);
  if (refusal.status.code() == absl::StatusCode::kResourceExhausted) {
    AddRetryPushback(context, refusal.retry_after + absl::Milliseconds(1));
  }
  return refusal.status;
}

grpc::ServerWriteReactor<v1::GenerateResponse>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  ApiPermit permit;
  const absl::Status admitted = Admit(context, &permit);
  if (!admitted.ok()) {
    dependencies_.metrics->CountRequest(admitted.code());
    return new RefusedStream(admitted);
  }
  const ServedModel& model = *dependencies_.model;
  // What can never succeed is said first, whether or not experts are there.
  absl::StatusOr<GenerationPlan> plan = PlanGeneration(FromMessage(*request), model, RandomSeed());
  absl::Status status = plan.status();
  if (status.ok()) status = dependencies_.readiness();
  if (status.ok()) {
    absl::StatusOr<std::shared_ptr<TokenStream>> tokens =
        dependencies_.scheduler->Submit(*std::move(plan), DeadlineOf(*context));
    if (tokens.ok()) {
      GenerateStream::Options options;
      options.num_choices = model.config.num_layers * model.config.top_k;
      options.tokens_per_message =
          request->routing() ? kTokensPerMessageWithRouting : kTokensPerMessage;
      options.slow_client_timeout = dependencies_.slow_client_timeout;
      options.permit = std::move(permit);
      return GenerateStream::Start(context, *std::move(tokens), dependencies_.delivery,
                                   dependencies_.metrics, options);
    }
    status = tokens.status();
  }
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    AddRetryPushback(context, RetryAfterOf(status).value_or(kRetryAfter));
  }
  dependencies_.metrics->CountRequest(status.code());
  return new RefusedStream(status);
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const v1::TokenizeRequest* request,
                                                     v1::TokenizeResponse* response) {
  const absl::Status admitted = Admit(context, nullptr);
  if (!admitted.ok()) return FinishUnary(context, admitted);
  const absl::StatusOr<std::vector<int32_t>> token_ids =
      EncodeTokenizeRequest(*dependencies_.model, *request);
  if (!token_ids.ok()) return FinishUnary(context, token_ids.status());
  for (const int32_t id : *token_ids) {
    response->add_token_ids(static_cast<uint32_t>(id));
    response->add_pieces(dependencies_.model->tokenizer->Piece(id));
  }
  return FinishUnary(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(grpc::CallbackServerContext* context,
                                                       const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeResponse* response) {
  absl::Status status = Admit(context, nullptr);
  if (!status.ok()) return FinishUnary(context, status);
  const ServedModel& model = *dependencies_.model;
  status = CheckHasTokenizer(model, "token_ids");
  if (!status.ok()) return FinishUnary(context, status);
  const std::vector<uint32_t> given(request->token_ids().begin(), request->token_ids().end());
  const absl::StatusOr<std::vector<int32_t>> token_ids = CheckTokenIds(model, "token_ids", given);
  if (token_ids.ok()) response->set_text(DecodeText(*model.tokenizer, *token_ids));
  return FinishUnary(context, token_ids.status());
}

grpc::ServerUnaryReactor* InferenceService::GetModel(grpc::CallbackServerContext* context,
                                                     const v1::GetModelRequest* /*request*/,
                                                     v1::GetModelResponse* response) {
  const absl::Status admitted = Admit(context, nullptr);
  if (admitted.ok()) *response = ToMessage(*dependencies_.model);
  return FinishUnary(context, admitted);
}

}  // namespace tramontane
