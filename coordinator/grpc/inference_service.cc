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
#include "proto/wire/call_message.h"

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

grpc::ServerWriteReactor<grpc::ByteBuffer>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  ApiPermit permit;
  absl::Status status = Admit(context, &permit);
  v1::GenerateRequest request;
  if (status.ok()) {
    absl::StatusOr<std::shared_ptr<TokenStream>> tokens =
        Submit(*bytes, DeadlineOf(*context), &request);
    if (tokens.ok()) {
      const ServedModel& model = *dependencies_.model;
      GenerateStream::Options options;
      options.num_choices = model.config.num_layers * model.config.top_k;
      options.tokens_per_message =
          request.routing() ? kTokensPerMessageWithRouting : kTokensPerMessage;
      options.slow_client_timeout = dependencies_.slow_client_timeout;
      options.permit = std::move(permit);
      return GenerateStream::Start(context, *std::move(tokens), dependencies_.delivery,
                                   dependencies_.metrics, options);
    }
    status = tokens.status();
    if (status.code() == absl::StatusCode::kResourceExhausted) {
      AddRetryPushback(context, RetryAfterOf(status).value_or(kRetryAfter));
    }
  }
  dependencies_.metrics->CountRequest(status.code());
  return new RefusedStream(status);
}

absl::StatusOr<std::shared_ptr<TokenStream>> InferenceService::Submit(
    const grpc::ByteBuffer& bytes, absl::Time deadline, v1::GenerateRequest* request) {
  const absl::Status parsed = ParseMessage(bytes, request);
  if (!parsed.ok()) return parsed;
  // What can never succeed is said first, whether or not experts are there.
  absl::StatusOr<GenerationPlan> plan =
      PlanGeneration(FromMessage(*request), *dependencies_.model, RandomSeed());
  if (!plan.ok()) return plan.status();
  const absl::Status ready = dependencies_.readiness();
  if (!ready.ok()) return ready;
  return dependencies_.scheduler->Submit(*std::move(plan), deadline);
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* response) {
  return AnswerUnary<v1::TokenizeRequest, v1::TokenizeResponse>(
      context, Admit(context, nullptr), request, response,
      [&model = *dependencies_.model](const v1::TokenizeRequest& asked,
                                      v1::TokenizeResponse* answer) {
        const absl::StatusOr<std::vector<int32_t>> token_ids = EncodeTokenizeRequest(model, asked);
        if (!token_ids.ok()) return token_ids.status();
        for (const int32_t id : *token_ids) {
          answer->add_token_ids(static_cast<uint32_t>(id));
          answer->add_pieces(model.tokenizer->Piece(id));
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* response) {
  return AnswerUnary<v1::DetokenizeRequest, v1::DetokenizeResponse>(
      context, Admit(context, nullptr), request, response,
      [&model = *dependencies_.model](const v1::DetokenizeRequest& asked,
                                      v1::DetokenizeResponse* answer) {
        absl::Status status = CheckHasTokenizer(model, "token_ids");
        if (!status.ok()) return status;
        const std::vector<uint32_t> given(asked.token_ids().begin(), asked.token_ids().end());
        const absl::StatusOr<std::vector<int32_t>> token_ids =
            CheckTokenIds(model, "token_ids", given);
        if (token_ids.ok()) answer->set_text(DecodeText(*model.tokenizer, *token_ids));
        return token_ids.status();
      });
}

grpc::ServerUnaryReactor* InferenceService::GetModel(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* response) {
  return AnswerUnary<v1::GetModelRequest, v1::GetModelResponse>(
      context, Admit(context, nullptr), request, response,
      [&model = *dependencies_.model](const v1::GetModelRequest& /*asked*/,
                                      v1::GetModelResponse* answer) {
        *answer = ToMessage(model);
        return absl::OkStatus();
      });
}

}  // namespace tramontane
