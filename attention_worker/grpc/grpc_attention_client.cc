#include "attention_worker/grpc/grpc_attention_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/grpc/attention_messages.h"
#include "attention_worker/grpc/worker_channel.h"
#include "model/log.h"

namespace tramontane {

GrpcAttentionClient::GrpcAttentionClient(std::string address, GrpcAttentionClientOptions options)
    : address_(std::move(address)),
      options_(std::move(options)),
      status_(absl::UnavailableError(
          absl::StrCat("attention worker ", address_, ": not yet connected"))),
      thread_([this] { Loop(); }) {}

GrpcAttentionClient::~GrpcAttentionClient() {
  std::shared_ptr<AttentionExchange> exchange;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    exchange = exchange_;
  }
  stopped_.notify_all();
  if (exchange != nullptr) exchange->Close();
  thread_.join();
}

void GrpcAttentionClient::Loop() {
  Backoff backoff(options_.reconnect);
  std::string last_failure;  // said once, not at every attempt
  do {
    absl::StatusOr<std::shared_ptr<AttentionExchange>> exchange = Connect();
    absl::Status status = exchange.status();
    if (exchange.ok()) {
      Log(LogLevel::kInfo, "attention worker connected", {{"worker", address_}});
      Publish(*exchange, absl::OkStatus());
      status = (*exchange)->AwaitEnd();
      backoff.Reset();
      last_failure.clear();
    }
    Publish(nullptr, status);
    const std::string failure(status.message());
    if (failure != last_failure) {
      const bool refused = status.code() == absl::StatusCode::kFailedPrecondition;
      Log(LogLevel::kWarning,
          refused ? "attention worker refused" : "attention worker not connected",
          {{"worker", address_}, {"reason", failure}});
      last_failure = failure;
    }
  } while (AwaitRetry(backoff.Next()));
}

absl::StatusOr<std::shared_ptr<AttentionExchange>> GrpcAttentionClient::Connect() {
  std::shared_ptr<grpc::Channel> channel = CreateWorkerChannel(
      address_, options_.max_message_bytes, options_.tls, options_.signs_of_life);
  const absl::StatusOr<v1::DescribeAttentionWorkerResponse> description =
      FetchAttentionDescription(address_, channel, options_.connect_timeout);
  if (!description.ok()) return description.status();
  const absl::Status agreed = CheckAttentionDescription(address_, *description, options_.expected);
  if (!agreed.ok()) return agreed;
  std::shared_ptr<AttentionExchange> exchange =
      AttentionExchange::Open(&pump_, address_, std::move(channel), options_.on_change);
  v1::AttentionRequest request;
  request.mutable_open()->set_coordinator_id(options_.coordinator_id);
  const absl::StatusOr<v1::AttentionAnswer> opened =
      exchange->Call(std::move(request), options_.connect_timeout);
  if (opened.ok()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    backend_ = description->backend();
    return exchange;
  }
  exchange->Close();
  exchange->AwaitEnd().IgnoreError();
  return opened.status();
}

void GrpcAttentionClient::Publish(std::shared_ptr<AttentionExchange> exchange,
                                  const absl::Status& why) {
  std::shared_ptr<AttentionExchange> unwanted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (exchange != nullptr) {
      ++num_exchanges_;
      if (stopping_) unwanted = exchange;  // the destructor has not seen it
    }
    exchange_ = std::move(exchange);
    if (exchange_ != nullptr) exchange_->EndCallsBy(steps_end_);
    status_ = why;
    attempted_ = true;
  }
  if (unwanted != nullptr) unwanted->Close();
  options_.on_change();
}

bool GrpcAttentionClient::AwaitRetry(absl::Duration delay) {
  std::unique_lock<std::mutex> lock(mutex_);
  return !stopped_.wait_for(lock, absl::ToChronoMicroseconds(delay), [this] { return stopping_; });
}

absl::Status GrpcAttentionClient::NotConnected() const {
  // A refusal is the operator's to read; to whoever uses the worker it is not there.
  return absl::UnavailableError(status_.message());
}

absl::Status GrpcAttentionClient::NotDriven() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (exchange_ == nullptr) return NotConnected();
  return absl::UnavailableError(
      absl::StrCat("attention worker ", address_, ": was connected a moment too late"));
}

std::shared_ptr<AttentionExchange> GrpcAttentionClient::Driven() {
  std::shared_ptr<AttentionExchange> exchange;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    exchange = exchange_;
  }
  if (exchange != driven_) {
    driven_ = exchange;
    sequences_.clear();
  }
  return exchange;
}

absl::StatusOr<v1::AttentionAnswer> GrpcAttentionClient::CallWithoutStep(
    AttentionExchange& exchange, v1::AttentionRequest request) const {
  return exchange.Call(std::move(request),
                       std::min(options_.answer_timeout, options_.stepless_timeout));
}

absl::StatusOr<int> GrpcAttentionClient::AddSequence(const SequenceSpec& spec) {
  const std::shared_ptr<AttentionExchange> exchange = Driven();
  if (exchange == nullptr) return NotDriven();
  v1::AttentionRequest request;
  ToMessage(spec, request.mutable_add_sequence());
  const absl::StatusOr<v1::AttentionAnswer> answer = CallWithoutStep(*exchange, std::move(request));
  if (!answer.ok()) return answer.status();
  sequences_.insert(spec.id);
  if (answer->cached_tokens() > static_cast<uint32_t>(spec.max_cached_tokens)) {
    return absl::InternalError(absl::StrCat(
        "attention worker ", address_, ": has ", answer->cached_tokens(), " tokens of sequence ",
        spec.id, "; expected at most ", spec.max_cached_tokens));
  }
  return static_cast<int>(answer->cached_tokens());
}

absl::StatusOr<StepResult> GrpcAttentionClient::Step(const StepRequest& request) {
  const std::shared_ptr<AttentionExchange> exchange = Driven();
  if (exchange == nullptr) return NotDriven();
  for (const SequenceChunk& chunk : request.chunks) {
    if (sequences_.count(chunk.id) != 0) continue;
    return absl::UnavailableError(absl::StrCat("attention worker ", address_, ": sequence ",
                                               chunk.id, " was not added since it connected"));
  }
  v1::AttentionRequest message;
  ToMessage(request, absl::Now(), message.mutable_step());
  const absl::StatusOr<v1::AttentionAnswer> answer =
      exchange->Call(std::move(message), options_.answer_timeout);
  if (!answer.ok()) return answer.status();
  return FromMessage(answer->step_result());
}

void GrpcAttentionClient::EndStepsBy(absl::Time end) {
  const std::lock_guard<std::mutex> lock(mutex_);
  steps_end_ = end;
  if (exchange_ != nullptr) exchange_->EndCallsBy(end);
}

void GrpcAttentionClient::ReleaseSequence(SequenceId id) {
  const std::shared_ptr<AttentionExchange> exchange = Driven();
  if (exchange == nullptr || sequences_.erase(id) == 0) return;
  v1::AttentionRequest request;
  request.mutable_release_sequence()->set_sequence_id(id);
  // Waits, so that kv_cache_usage tells what it has freed. Where it fails the stream is lost, and
  // the sequence with it.
  CallWithoutStep(*exchange, std::move(request)).IgnoreError();
}

KvCacheUsage GrpcAttentionClient::kv_cache_usage() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::optional<KvCacheUsage> usage;
  if (exchange_ != nullptr) usage = exchange_->kv_cache_usage();
  return usage.value_or(KvCacheUsage{.block_size = options_.expected.kv_block_size});
}

absl::Status GrpcAttentionClient::readiness() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return exchange_ == nullptr ? NotConnected() : exchange_->readiness();
}

uint64_t GrpcAttentionClient::incarnation() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool lost = exchange_ == nullptr || exchange_->lost();
  return 2 * num_exchanges_ + (lost ? 1 : 0);
}

bool GrpcAttentionClient::connected() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return exchange_ != nullptr && !exchange_->lost();
}

bool GrpcAttentionClient::draining() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return exchange_ != nullptr && exchange_->draining();
}

std::string GrpcAttentionClient::backend() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return backend_;
}

bool GrpcAttentionClient::attempted() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return attempted_;
}

}  // namespace tramontane
