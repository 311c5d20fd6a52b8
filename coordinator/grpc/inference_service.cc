#include "coordinator/grpc/inference_service.h"

#include <grpc/support/time.h>
#include <grpcpp/support/server_callback.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "coordinator/detokenizer.h"
#include "coordinator/grpc/generate_stream.h"
#include "coordinator/grpc/inference_messages.h"
#include "coordinator/grpc/retry_pushback.h"
#include "coordinator/prompt_encoding.h"
#include "coordinator/request_validation.h"
#include "model/steady_clock.h"
#include "proto/wire/call_message.h"
#include "proto/wire/field_counts.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

// A larger request takes its time to be parsed and tokenized, a millisecond for each two thousand
// bytes, which threads that serve every stream do not have.
constexpr size_t kReadAtOnceBytes = 16 << 10;
constexpr int kMaxWaiting = 256;
constexpr char kAuthorization[] = "authorization";

// With alternatives for each token a message stays far below the 4 MiB that gRPC clients accept by
// default. With routing, the API promises each token its own.
constexpr int64_t kTokensPerMessage = 1024;
constexpr int64_t kTokensPerMessageWithRouting = 1;

// In whole seconds first: nanoseconds of a far deadline do not fit what std::chrono counts them in.
absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const gpr_timespec deadline = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_REALTIME);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_REALTIME)) == 0) {
    return absl::InfiniteFuture();
  }
  return absl::FromUnixSeconds(deadline.tv_sec) + absl::Nanoseconds(deadline.tv_nsec);
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

// A call may be over for gRPC a moment before the task that ended it.
InferenceService::~InferenceService() {
  std::promise<void> done;
  dependencies_.reading->Post([&done] { done.set_value(); });
  done.get_future().wait();
}

absl::Status InferenceService::Admit(grpc::CallbackServerContext* context,
                                     ApiPermit* permit) const {
  if (dependencies_.access == nullptr) return absl::OkStatus();
  const auto& metadata = context->client_metadata();
  const auto header = metadata.find(kAuthorization);
  std::string_view authorization;
  if (header != metadata.end()) authorization = {header->second.data(), header->second.size()};
  ApiRefusal refusal;
  if (dependencies_.access->Admit(authorization, SteadyNow(), permit, &refusal)) {
    return absl::OkStatus();
  }
  dependencies_.security_metrics->CountFailure(refusal.reason, context->peer(),
                                               std::string(refusal.status.message()));
  if (refusal.status.code() == absl::StatusCode::kResourceExhausted) {
    AddRetryPushback(context, refusal.retry_after + absl::Milliseconds(1));
  }
  return refusal.status;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  GenerateStream::Options options;
  const absl::Status admitted = Admit(context, &options.permit);
  if (!admitted.ok()) {
    dependencies_.metrics->CountRequest(admitted.code());
    return new RefusedStream(admitted);
  }
  options.num_choices = dependencies_.model->routing_choices();
  options.slow_client_timeout = dependencies_.slow_client_timeout;
  options.deadline = DeadlineOf(*context);
  std::shared_ptr<GenerateStream> call =
      GenerateStream::Start(context, dependencies_.delivery, dependencies_.metrics, options);
  const auto begin = [this, call, bytes = *bytes, deadline = options.deadline] {
    if (const std::optional<absl::Status> cancelled = call->cancelled()) {
      return call->Begin(*cancelled, 1);
    }
    v1::GenerateRequest request;
    absl::StatusOr<std::shared_ptr<TokenStream>> tokens = Submit(bytes, deadline, &request);
    call->Begin(std::move(tokens),
                request.routing() ? kTokensPerMessageWithRouting : kTokensPerMessage);
  };
  const absl::Status room = Read(bytes->Length(), begin);
  if (!room.ok()) call->Begin(room, 1);
  return call.get();
}

// Each has a token at least.
int64_t InferenceService::MaxMessages() const { return dependencies_.model->context_length(); }

absl::Status InferenceService::Read(size_t num_bytes, std::function<void()> read) {
  if (num_bytes <= kReadAtOnceBytes) {
    read();
    return absl::OkStatus();
  }
  if (num_waiting_.fetch_add(1) >= kMaxWaiting) {
    num_waiting_.fetch_sub(1);
    return absl::ResourceExhaustedError(absl::StrCat(kMaxWaiting, " requests of more than ",
                                                     kReadAtOnceBytes,
                                                     " bytes wait to be read; try again later"));
  }
  dependencies_.reading->Post([this, read = std::move(read)] {
    num_waiting_.fetch_sub(1);
    read();
  });
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<TokenStream>> InferenceService::Submit(
    const grpc::ByteBuffer& bytes, absl::Time deadline, v1::GenerateRequest* request) {
  const MixtralConfig& config = dependencies_.model->config;
  absl::Status parsed = CheckFieldCounts(
      bytes,
      {{{v1::GenerateRequest::kMessagesFieldNumber, "messages", MaxMessages()},
        {v1::GenerateRequest::kLogitBiasFieldNumber, "logit_bias", config.vocab_size},
        {v1::GenerateRequest::kStopFieldNumber, "stop", kMaxStopStrings},
        {v1::GenerateRequest::kStopTokenIdsFieldNumber, "stop_token_ids", kMaxStopTokenIds}}});
  if (parsed.ok()) parsed = ParseMessage(bytes, request);
  if (!parsed.ok()) return parsed;
  // What can never succeed is said first, whether or not experts are there.
  absl::StatusOr<GenerationPlan> plan =
      PlanGeneration(FromMessage(*request), *dependencies_.model, RandomSeed());
  if (!plan.ok()) return plan.status();
  const absl::Status ready = dependencies_.readiness();
  if (!ready.ok()) return ready;
  return dependencies_.scheduler->Submit(*std::move(plan), deadline);
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* InferenceService::AnswerText(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response, const FieldLimit& limit,
    std::function<absl::Status(const Request& request, Response* response)> handle) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::Status admitted = Admit(context, nullptr);
  if (admitted.ok()) {
    admitted = Read(request->Length(),
                    [reactor, response, bytes = *request, limit, handle = std::move(handle)] {
                      absl::Status status = CheckFieldCounts(bytes, {&limit, 1});
                      if (status.ok())
                        status = AnswerMessage<Request, Response>(bytes, response, handle);
                      reactor->Finish(ToGrpcStatus(status));
                    });
    if (admitted.ok()) return reactor;
    AddRetryPushback(context, admitted);
  }
  reactor->Finish(ToGrpcStatus(admitted));
  return reactor;
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* response) {
  return AnswerText<v1::TokenizeRequest, v1::TokenizeResponse>(
      context, request, response,
      {v1::TokenizeRequest::kMessagesFieldNumber, "messages", MaxMessages()},
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
  return AnswerText<v1::DetokenizeRequest, v1::DetokenizeResponse>(
      context, request, response, {},
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
