#include "attention_worker/grpc/expert_exchange.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/worker_state.h"
#include "proto/wire/expert_batch.h"
#include "proto/wire/row_pointers.h"

namespace tramontane {
namespace {

constexpr char kExecuteMethod[] = "/tramontane.v1.ExpertWorker/Execute";

thread_local int callback_depth = 0;

void Deliver(LandedFlight landed) {
  ++callback_depth;
  landed.done(std::move(landed.outcome));
  --callback_depth;
}

uint64_t TimeoutUs(absl::Time deadline, absl::Time now) {
  if (deadline == absl::InfiniteFuture()) return 0;
  return static_cast<uint64_t>(std::max<int64_t>(1, absl::ToInt64Microseconds(deadline - now)));
}

absl::Duration Microseconds(uint64_t count) {
  return absl::Microseconds(static_cast<int64_t>(std::min<uint64_t>(count, INT64_MAX / 2)));
}

// What keeps an answer's rows in memory.
struct AnswerOwner {
  std::shared_ptr<ReceivedMessage> message;
  std::unique_ptr<std::byte[]> straddling;
};

}  // namespace

std::shared_ptr<ExpertExchange> ExpertExchange::Open(
    StreamPump* pump, const std::string& address, ExpertWorkerDescription description,
    std::shared_ptr<grpc::Channel> channel,
    std::function<void(const absl::Status&)> on_disconnect) {
  std::shared_ptr<ExpertExchange> exchange(
      new ExpertExchange(address, std::move(description), std::move(on_disconnect)));
  // The stream's callbacks keep the exchange, and the exchange the stream, until on_closed.
  exchange->stream_ = MessageStream::Create(
      pump, std::move(channel), kExecuteMethod,
      {[exchange](const grpc::ByteBuffer& message) { exchange->OnMessage(message); },
       [exchange](const absl::Status& status, std::shared_ptr<grpc::Channel> closed) {
         exchange->OnClosed(status, std::move(closed));
       }});
  exchange->stream_->Start();
  return exchange;
}

ExpertExchange::ExpertExchange(const std::string& address, ExpertWorkerDescription description,
                               std::function<void(const absl::Status&)> on_disconnect)
    : address_(address),
      description_(std::move(description)),
      on_disconnect_(std::move(on_disconnect)) {}

bool ExpertExchange::InCallback() { return callback_depth > 0; }

absl::Status ExpertExchange::Named(const absl::Status& status) const {
  return absl::Status(status.code(),
                      absl::StrCat("expert worker ", address_, ": ", status.message()));
}

absl::Status ExpertExchange::CheckBatch(const ExpertBatch& batch) const {
  if (batch.row_dtype != description_.row_dtype || batch.hidden_size != description_.hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rows of ", batch.hidden_size, " ", DTypeName(batch.row_dtype).data(), ", expected ",
        description_.hidden_size, " ", DTypeName(description_.row_dtype).data()));
  }
  const size_t max_rows = static_cast<size_t>(description_.max_batch_rows);
  if (batch.num_rows <= 0 || batch.row_indices.empty() || batch.row_indices.size() > max_rows ||
      static_cast<size_t>(batch.num_rows) > max_rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch of ", batch.num_rows, " rows and ", batch.row_indices.size(),
                     " (row, expert) pairs; expected 1 to ", max_rows, " of each"));
  }
  return absl::OkStatus();
}

void ExpertExchange::Execute(ExpertBatch batch, ExpertClient::Done done) {
  const absl::Time start = absl::Now();
  absl::Status refused = CheckBatch(batch);
  if (refused.ok() && batch.deadline <= start) {
    refused = absl::DeadlineExceededError("the deadline passed before the batch was sent");
  }
  if (!refused.ok()) {
    Deliver({std::move(done), Named(refused)});
    return;
  }
  Flight flight;
  flight.done = done;
  flight.row_dtype = batch.row_dtype;
  flight.num_pairs = static_cast<int64_t>(batch.row_indices.size());
  flight.hidden_size = batch.hidden_size;
  flight.deadline = batch.deadline;
  flight.sent = start;

  const std::span<const std::byte> rows(
      batch.rows,
      static_cast<size_t>(batch.num_rows * batch.hidden_size) * DTypeSize(batch.row_dtype));
  WireExpertBatch wire;
  wire.layer = batch.layer;
  wire.row_dtype = batch.row_dtype;
  wire.num_rows = static_cast<int32_t>(batch.num_rows);
  wire.expert_ids = std::move(batch.expert_ids);
  wire.rows_per_expert = std::move(batch.rows_per_expert);
  wire.row_indices = std::move(batch.row_indices);
  wire.timeout_us = TimeoutUs(batch.deadline, start);
  // The id comes last, and with it the header: cheap next to the hop, so its time is the same.
  absl::StatusOr<uint64_t> id = flights_.Add(std::move(flight));
  if (!id.ok()) {
    Deliver({std::move(done), id.status()});
    return;
  }
  wire.batch_id = *id;
  // The message keeps the rows, wherever the transport still has it.
  grpc::ByteBuffer message = MakeMessage(EncodeExpertBatchHeader(wire, rows.size()), rows,
                                         [owner = std::move(batch.rows_owner)] {});
  flights_.SetEncode(*id, absl::Now() - start);
  stream_->Send(*id, std::move(message));
  WakeAt(batch.deadline);
}

void ExpertExchange::WakeAt(absl::Time time) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (time >= wake_) return;
  wake_ = time;
  changed_.notify_all();
}

void ExpertExchange::OnMessage(const grpc::ByteBuffer& buffer) {
  const absl::Time received = absl::Now();
  auto message = std::make_shared<ReceivedMessage>(buffer);
  WireExpertResult answer;
  std::vector<Piece> rows;
  const absl::Status decoded = DecodeExpertResult(
      message->pieces(), static_cast<size_t>(description_.max_batch_rows), &answer, &rows);
  if (answer.batch_id == 0) {
    if (decoded.ok() && answer.draining) {
      NoteDraining();
    } else {
      stream_->Cancel();  // it does not speak the protocol
    }
    return;
  }
  const std::optional<FlightTable::Shape> shape = flights_.Find(answer.batch_id);
  if (!shape.has_value()) return;  // late: nobody waits any more
  absl::StatusOr<ExpertBatchResult> outcome =
      !decoded.ok()         ? Named(absl::InternalError(decoded.message()))
      : !answer.status.ok() ? Named(answer.status)
                            : ReadAnswer(*shape, answer, rows, std::move(message), received);
  std::optional<LandedFlight> landed = flights_.Land(answer.batch_id, std::move(outcome));
  if (landed.has_value()) Deliver(*std::move(landed));
}

absl::StatusOr<ExpertBatchResult> ExpertExchange::ReadAnswer(
    const FlightTable::Shape& shape, const WireExpertResult& answer, const std::vector<Piece>& rows,
    std::shared_ptr<ReceivedMessage> message, absl::Time received) const {
  const size_t row_bytes = static_cast<size_t>(shape.hidden_size) * DTypeSize(shape.row_dtype);
  size_t bytes = 0;
  for (const Piece& piece : rows) bytes += piece.size();
  if (answer.num_rows != shape.num_pairs || answer.row_dtype != shape.row_dtype ||
      bytes != static_cast<size_t>(shape.num_pairs) * row_bytes) {
    return Named(absl::InternalError(
        absl::StrCat("its answer does not fit: expected ", shape.num_pairs, " rows of ", row_bytes,
                     " bytes (", DTypeName(shape.row_dtype).data(), "), found ", answer.num_rows,
                     " rows in ", bytes, " bytes")));
  }
  RowPointers located = LocateRows(rows, shape.num_pairs, row_bytes);
  ExpertBatchResult result;
  result.row_pointers = std::move(located.rows);
  result.owner =
      std::make_shared<AnswerOwner>(AnswerOwner{std::move(message), std::move(located.straddling)});
  const absl::Time end = absl::Now();
  result.timing.serialize = shape.encode + Microseconds(answer.serialize_us) + (end - received);
  result.timing.queue = Microseconds(answer.queue_us);
  result.timing.compute = Microseconds(answer.compute_us);
  result.timing.network =
      std::max(absl::ZeroDuration(), (end - shape.sent) - result.timing.serialize -
                                         result.timing.queue - result.timing.compute);
  return result;
}

void ExpertExchange::OnClosed(const absl::Status& status, std::shared_ptr<grpc::Channel> channel) {
  const absl::Status reason = absl::UnavailableError(
      status.ok() ? "the stream has ended" : absl::StrCat("the stream broke: ", status.ToString()));
  for (LandedFlight& landed : flights_.FailAll(Named(reason))) Deliver(std::move(landed));
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = Named(reason);
  closed_channel_ = std::move(channel);
  changed_.notify_all();
}

void ExpertExchange::NoteDraining() {
  const std::lock_guard<std::mutex> lock(mutex_);
  draining_ = true;
  changed_.notify_all();
}

void ExpertExchange::Tell(const absl::Status& status) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closing_ || std::exchange(told_, true)) return;
  }
  if (on_disconnect_ == nullptr) return;
  ++callback_depth;
  on_disconnect_(status);
  --callback_depth;
}

void ExpertExchange::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  stream_->Cancel();
}

absl::Time ExpertExchange::KeepDeadlines() {
  const absl::Time now = absl::Now();
  FlightTable::Expiry expiry = flights_.Expire(
      now, Named(absl::DeadlineExceededError("no answer before the batch's deadline")));
  for (const uint64_t id : expiry.ids) stream_->Withdraw(id);
  for (LandedFlight& landed : expiry.landed) Deliver(std::move(landed));
  return expiry.next;
}

void ExpertExchange::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    std::shared_ptr<grpc::Channel> closed_channel = std::move(closed_channel_);
    wake_ = absl::InfiniteFuture();
    lock.unlock();
    closed_channel.reset();
    const absl::Time next = KeepDeadlines();
    lock.lock();
    if (draining_ && !told_) {
      lock.unlock();
      Tell(DrainingError(absl::StrCat("expert worker ", address_, ": it is shutting down")));
      lock.lock();
    }
    wake_ = std::min(wake_, next);
    if (closed_channel_ != nullptr) continue;
    if (closed_.has_value() && flights_.empty()) break;
    const absl::Duration wait = std::min(wake_ - absl::Now(), absl::Minutes(1));
    if (wait > absl::ZeroDuration()) changed_.wait_for(lock, absl::ToChronoMicroseconds(wait));
  }
  const absl::Status reason = *closed_;
  lock.unlock();
  Tell(reason);
}

}  // namespace tramontane
