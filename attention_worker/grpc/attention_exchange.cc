#include "attention_worker/grpc/attention_exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/grpc/attention_messages.h"
#include "proto/attention.grpc.pb.h"

namespace tramontane {
namespace {

constexpr char kRunMethod[] = "/tramontane.v1.AttentionWorker/Run";

absl::StatusCode CodeOf(uint32_t code) {
  return code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
}

}  // namespace

std::shared_ptr<AttentionExchange> AttentionExchange::Open(StreamPump* pump,
                                                           const std::string& address,
                                                           std::shared_ptr<grpc::Channel> channel,
                                                           std::function<void()> on_change) {
  std::shared_ptr<AttentionExchange> exchange(new AttentionExchange(address, std::move(on_change)));
  // The stream's callbacks keep the exchange, and the exchange the stream, until on_closed.
  exchange->stream_ = MessageStream::Create(
      pump, std::move(channel), kRunMethod,
      {[exchange](grpc::ByteBuffer message) { exchange->OnMessage(std::move(message)); },
       [exchange](const absl::Status& status, std::shared_ptr<grpc::Channel> closed) {
         exchange->OnClosed(status, std::move(closed));
       }});
  exchange->stream_->Start();
  return exchange;
}

AttentionExchange::AttentionExchange(std::string address, std::function<void()> on_change)
    : address_(std::move(address)), on_change_(std::move(on_change)) {}

absl::Status AttentionExchange::Named(const absl::Status& status) const {
  return absl::Status(status.code(),
                      absl::StrCat("attention worker ", address_, ": ", status.message()));
}

absl::StatusOr<v1::AttentionAnswer> AttentionExchange::Call(v1::AttentionRequest request,
                                                            absl::Duration timeout) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lost_.has_value()) return *lost_;
    request.set_request_id(++last_request_id_);
    answer_.reset();
  }
  grpc::ByteBuffer buffer;
  bool owned = false;
  const grpc::Status encoded =
      grpc::SerializationTraits<v1::AttentionRequest>::Serialize(request, &buffer, &owned);
  if (!encoded.ok()) return Named(absl::InternalError(encoded.error_message()));
  stream_->Send(request.request_id(), std::move(buffer));
  const absl::Time begin = absl::Now();
  std::unique_lock<std::mutex> lock(mutex_);
  while (!answer_.has_value() && !lost_.has_value()) {
    const absl::Duration left = std::min(begin + timeout, calls_end_) - absl::Now();
    if (left > absl::ZeroDuration()) {
      changed_.wait_for(lock, absl::ToChronoMicroseconds(left));
      continue;
    }
    lock.unlock();
    const absl::Duration waited = absl::Trunc(absl::Now() - begin, absl::Milliseconds(1));
    const absl::Status late = absl::UnavailableError(
        absl::StrCat("no answer within ", absl::FormatDuration(waited), "; gave it up"));
    GiveUp(late);
    return Named(late);
  }
  if (!answer_.has_value()) return *lost_;
  v1::AttentionAnswer answer = *std::exchange(answer_, std::nullopt);
  if (answer.status_code() == 0) return answer;
  return Named(absl::Status(CodeOf(answer.status_code()), answer.status_message()));
}

void AttentionExchange::EndCallsBy(absl::Time end) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    calls_end_ = end;
  }
  changed_.notify_all();
}

void AttentionExchange::OnMessage(grpc::ByteBuffer buffer) {
  v1::AttentionAnswer answer;
  const grpc::Status decoded =
      grpc::SerializationTraits<v1::AttentionAnswer>::Deserialize(&buffer, &answer);
  const bool has_state = answer.has_state();
  if (!decoded.ok() || !TakeAnswer(std::move(answer))) {
    GiveUp(absl::InternalError("it sent what is no answer; is it of another version?"));
    return;
  }
  if (has_state) on_change_();
}

bool AttentionExchange::TakeAnswer(v1::AttentionAnswer answer) {
  absl::StatusOr<KvCacheUsage> usage = FromMessage(answer.kv_cache_usage());
  const bool asked_for = answer.request_id() != 0;
  if (asked_for && !usage.ok()) return false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (answer.has_state() && answer.state().revision() > state_.revision()) {
      state_ = answer.state();
    }
    if (!asked_for) return answer.has_state();
    if (answer.request_id() != last_request_id_ || answer_.has_value()) return false;
    usage_ = *usage;
    answer_ = std::move(answer);
  }
  changed_.notify_all();
  return true;
}

void AttentionExchange::GiveUp(const absl::Status& reason) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lost_.has_value()) return;
    lost_ = Named(absl::UnavailableError(reason.message()));
  }
  changed_.notify_all();
  stream_->Cancel();
  on_change_();
}

void AttentionExchange::OnClosed(const absl::Status& status,
                                 std::shared_ptr<grpc::Channel> channel) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!lost_.has_value()) {
      // What the worker refuses stays a refusal; all else is a loss.
      const bool refused = status.code() == absl::StatusCode::kFailedPrecondition;
      lost_ =
          Named(refused ? status
                        : absl::UnavailableError(
                              status.ok() ? "the stream has ended"
                                          : absl::StrCat("the stream broke: ", status.ToString())));
    }
    closed_ = true;
    closed_channel_ = std::move(channel);
  }
  changed_.notify_all();
  on_change_();
}

bool AttentionExchange::lost() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return lost_.has_value();
}

absl::Status AttentionExchange::readiness() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (lost_.has_value()) return *lost_;
  if (state_.draining()) return Named(absl::UnavailableError("it is shutting down"));
  if (!state_.missing_experts().empty()) {
    return Named(absl::UnavailableError(state_.missing_experts()));
  }
  return absl::OkStatus();
}

bool AttentionExchange::draining() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_.draining();
}

std::optional<KvCacheUsage> AttentionExchange::kv_cache_usage() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return usage_;
}

void AttentionExchange::Close() { GiveUp(absl::UnavailableError("closed")); }

absl::Status AttentionExchange::AwaitEnd() {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return closed_; });
  channel = std::move(closed_channel_);
  const absl::Status reason = *lost_;
  lock.unlock();
  channel.reset();
  return reason;
}

}  // namespace tramontane
