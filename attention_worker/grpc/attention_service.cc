#include "attention_worker/grpc/attention_service.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/log.h"
#include "proto/serving/unary_call.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

absl::Status ShuttingDown() {
  return absl::UnavailableError("the attention worker is shutting down");
}

uint32_t Unsigned(int value) { return static_cast<uint32_t>(value); }

// For logs and messages. A Unix socket's peer has no address.
std::string PeerOf(const grpc::ServerContext& context) {
  const std::string peer = context.peer();
  return peer == "unix:" ? "this machine, by a Unix socket" : peer;
}

}  // namespace

AttentionService::AttentionService(AttentionClient* worker, AttentionIdentity identity)
    : worker_(worker), identity_(std::move(identity)) {
  state_.set_revision(1);
}

std::vector<LoopMethod> AttentionService::Methods() {
  const std::string service = absl::StrCat("/", v1::AttentionWorker::service_full_name());
  return {
      UnaryMethod<v1::DescribeAttentionWorkerRequest, v1::DescribeAttentionWorkerResponse>(
          service + "/Describe",
          [this](const v1::DescribeAttentionWorkerRequest&) { return Describe(); }),
      {service + "/Run", [this](grpc::ServerContext* context) { return Run(PeerOf(*context)); }}};
}

v1::DescribeAttentionWorkerResponse AttentionService::Describe() const {
  v1::DescribeAttentionWorkerResponse response;
  const MixtralConfig& config = identity_.config;
  response.set_model_name(identity_.model_name);
  response.set_digest(identity_.digest);
  response.set_compute_dtype(identity_.compute_dtype);
  response.set_weight_format(identity_.compute_dtype);
  response.set_backend(identity_.backend);
  response.set_num_layers(Unsigned(config.num_layers));
  response.set_hidden_size(Unsigned(config.hidden_size));
  response.set_intermediate_size(Unsigned(config.intermediate_size));
  response.set_num_heads(Unsigned(config.num_heads));
  response.set_num_kv_heads(Unsigned(config.num_kv_heads));
  response.set_head_dim(Unsigned(config.head_dim));
  response.set_num_experts(Unsigned(config.num_experts));
  response.set_top_k(Unsigned(config.top_k));
  response.set_vocab_size(Unsigned(config.vocab_size));
  response.set_context_length(Unsigned(config.max_position_embeddings));
  const KvCacheUsage usage = worker_->kv_cache_usage();
  response.set_kv_block_size(Unsigned(usage.block_size));
  response.set_num_kv_blocks(static_cast<uint64_t>(usage.num_blocks));
  response.set_max_step_tokens(Unsigned(identity_.max_step_tokens));
  const std::lock_guard<std::mutex> lock(mutex_);
  *response.mutable_state() = state_;
  return response;
}

CallReactor* AttentionService::Run(const std::string& peer) {
  const std::shared_ptr<AttentionStream> stream = AttentionStream::Create(this, peer);
  stream->StartReading();
  return stream.get();
}

void AttentionService::OnRequest(const std::shared_ptr<AttentionStream>& stream,
                                 v1::AttentionRequest request) {
  if (request.has_open() && request.request_id() != 0) {
    Open(stream, request);
    return;
  }
  const bool numbered = request.request_id() != 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (driver_.stream == stream && numbered) {
      // Ahead of the release of the stream's sequences, and so of all that the next driver asks
      // for.
      step_thread_.Post([this, stream, session = driver_.session, request = std::move(request),
                         received = absl::Now()] {
        v1::AttentionAnswer answer = session->Handle(request, received, accepting());
        NoteSequences(session->num_sequences());
        stream->Answer(std::move(answer));
      });
      return;
    }
  }
  stream->End(ToGrpcStatus(absl::InvalidArgumentError(
                  numbered ? "expected `open` as the first message"
                           : "a request_id is 0; expected another number")),
              /*abandon=*/true);
}

void AttentionService::Open(const std::shared_ptr<AttentionStream>& stream,
                            const v1::AttentionRequest& request) {
  std::shared_ptr<AttentionStream> before;
  const absl::StatusOr<std::shared_ptr<AttentionSession>> session =
      TakeOver(stream, request.open().coordinator_id(), before);
  if (!session.ok()) {
    stream->End(ToGrpcStatus(session.status()), /*abandon=*/true);
    return;
  }
  if (before != nullptr) {
    before->End(ToGrpcStatus(absl::AbortedError("the coordinator has opened another stream")),
                /*abandon=*/true);
  }
  Log(LogLevel::kInfo, "coordinator connected", {{"peer", stream->peer()}});
  step_thread_.Post([this, stream, session = *session, request_id = request.request_id()] {
    v1::AttentionAnswer answer = session->Acknowledge(request_id);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      *answer.mutable_state() = state_;
    }
    stream->Answer(std::move(answer));
  });
}

absl::StatusOr<std::shared_ptr<AttentionSession>> AttentionService::TakeOver(
    const std::shared_ptr<AttentionStream>& stream, uint64_t coordinator_id,
    std::shared_ptr<AttentionStream>& before) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (coordinator_id == 0 || driver_.stream == stream) {
    return absl::InvalidArgumentError(coordinator_id == 0
                                          ? "coordinator_id is 0; expected a random number"
                                          : "expected `open` once");
  }
  if (state_.draining()) return ShuttingDown();
  if (driver_.stream != nullptr && driver_.coordinator_id != coordinator_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("the coordinator at ", driver_.stream->peer(),
                     " drives this attention worker; expected none: give each coordinator "
                     "attention workers of its own, or stop that one"));
  }
  ReleaseDriver();
  before = std::exchange(driver_, {.stream = stream,
                                   .session = std::make_shared<AttentionSession>(
                                       worker_, identity_.config.vocab_size),
                                   .coordinator_id = coordinator_id})
               .stream;
  return driver_.session;
}

void AttentionService::OnEnd(const std::shared_ptr<AttentionStream>& stream) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (driver_.stream != stream) return;
    ReleaseDriver();
    driver_ = Driver();
  }
  Log(LogLevel::kInfo, "coordinator gone", {{"peer", stream->peer()}});
}

void AttentionService::ReleaseDriver() {
  if (driver_.session == nullptr) return;
  step_thread_.Post([this, session = driver_.session] {
    session->End();
    NoteSequences(0);
  });
}

void AttentionService::NoteSequences(size_t num_sequences) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    num_sequences_ = num_sequences;
  }
  sequences_changed_.notify_all();
}

absl::Status AttentionService::accepting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_.draining() ? ShuttingDown() : absl::OkStatus();
}

std::shared_ptr<AttentionStream> AttentionService::StateChanged() {
  state_.set_revision(state_.revision() + 1);
  return driver_.stream;
}

void AttentionService::SetMissingExperts(const std::string& missing) {
  std::shared_ptr<AttentionStream> stream;
  v1::WorkerState state;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (state_.missing_experts() == missing) return;
    state_.set_missing_experts(missing);
    stream = StateChanged();
    state = state_;
  }
  if (stream != nullptr) stream->PushState(state);
}

void AttentionService::Drain(absl::Time deadline) {
  std::shared_ptr<AttentionStream> stream;
  v1::WorkerState state;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.set_draining(true);
    stream = StateChanged();
    state = state_;
  }
  if (stream != nullptr) stream->PushState(state);
  bool empty = false;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    empty = sequences_changed_.wait_for(lock, absl::ToChronoMicroseconds(deadline - absl::Now()),
                                        [this] { return num_sequences_ == 0; });
    stream = driver_.stream;
  }
  if (stream != nullptr) stream->End(ToGrpcStatus(ShuttingDown()), /*abandon=*/!empty);
  // Now that its end is nobody's answer.
  worker_->EndStepsBy(absl::Now());
}

}  // namespace tramontane
