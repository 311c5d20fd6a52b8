#include "expert_worker/grpc/execute_stream.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/wire/expert_result.h"
#include "proto/wire/row_pointers.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

// A longer timeout is as good as none.
constexpr uint64_t kMaxTimeoutUs = uint64_t{365} * 24 * 3'600 * 1'000'000;

uint64_t Microseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Microseconds(duration)));
}

absl::Time Deadline(absl::Time received, uint64_t timeout_us) {
  if (timeout_us == 0 || timeout_us > kMaxTimeoutUs) return absl::InfiniteFuture();
  return received + absl::Microseconds(static_cast<int64_t>(timeout_us));
}

grpc::ByteBuffer ErrorMessage(uint64_t batch_id, const absl::Status& status) {
  WireExpertResult result;
  result.batch_id = batch_id;
  result.status = status;
  return MakeMessage(EncodeExpertResultHeader(result, 0), {}, [] {});
}

// `row_bytes`: of one row of the answer.
grpc::ByteBuffer AnswerMessage(uint64_t batch_id, DType row_dtype, size_t row_bytes,
                               absl::Duration decode,
                               const absl::StatusOr<ExpertTaskResult>& answer) {
  if (!answer.ok()) return ErrorMessage(batch_id, answer.status());
  WireExpertResult result;
  result.batch_id = batch_id;
  result.row_dtype = row_dtype;
  result.num_rows = static_cast<int32_t>(answer->num_rows);
  result.queue_us = Microseconds(answer->queue);
  result.compute_us = Microseconds(answer->compute);
  result.serialize_us = Microseconds(decode);
  const size_t num_bytes = static_cast<size_t>(answer->num_rows) * row_bytes;
  return MakeMessage(EncodeExpertResultHeader(result, num_bytes),
                     std::span<const std::byte>(answer->rows->bytes(), num_bytes),
                     [rows = answer->rows] {});
}

}  // namespace

std::shared_ptr<ExecuteStream> ExecuteStream::Start(ExpertExecutor* executor,
                                                    const ExecuteStreamOptions& options,
                                                    std::function<void(ExecuteStream*)> on_done) {
  std::shared_ptr<ExecuteStream> stream(new ExecuteStream(executor, options, std::move(on_done)));
  stream->self_ = stream;
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(stream->mutex_);
    steps = stream->Plan();
  }
  stream->Perform(steps);
  return stream;
}

ExecuteStream::ExecuteStream(ExpertExecutor* executor, const ExecuteStreamOptions& options,
                             std::function<void(ExecuteStream*)> on_done)
    : executor_(executor), options_(options), on_done_(std::move(on_done)) {}

ExecuteStream::NextSteps ExecuteStream::Plan() {
  NextSteps steps;
  if (finished_) return steps;
  if (broken_) answers_.clear();
  if (!writing_ && !answers_.empty()) {
    outgoing_ = std::move(answers_.front());
    answers_.pop_front();
    writing_ = true;
    steps.write = true;
  }
  if (!reading_ && !handling_ && !ending_ && MayHoldMore()) {
    reading_ = true;
    ++reads_starting_;
    steps.read = true;
  }
  // A read in progress does not keep the stream from finishing, but none may start after that.
  if (ending_ && reads_starting_ == 0 && !handling_ && !writing_ && outstanding_.empty() &&
      answers_.empty()) {
    finished_ = true;
    steps.finish = true;
    steps.status = final_status_;
  }
  return steps;
}

bool ExecuteStream::MayHoldMore() const {
  const size_t unanswered = outstanding_.size() + answers_.size();
  if (unanswered >= static_cast<size_t>(options_.max_outstanding_batches)) return false;
  size_t held_bytes = outgoing_.Length();
  for (const auto& [id, batch] : outstanding_) held_bytes += batch.held_bytes;
  for (const grpc::ByteBuffer& answer : answers_) held_bytes += answer.Length();
  return held_bytes < options_.max_held_bytes;
}

void ExecuteStream::Perform(NextSteps steps) {
  for (;;) {
    if (steps.write) StartWrite(&outgoing_);
    if (steps.finish) Finish(steps.status);
    if (!steps.read) return;
    StartRead(&incoming_);
    const std::lock_guard<std::mutex> lock(mutex_);
    --reads_starting_;
    steps = Plan();
  }
}

void ExecuteStream::OnReadDone(bool ok) {
  const absl::Time received = absl::Now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reading_ = false;
    handling_ = true;
  }
  if (ok) {
    HandleBatch(received);
  } else {
    End(grpc::Status::OK);  // the peer closed its side, or is gone (then OnCancel comes too)
  }
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    handling_ = false;
    steps = Plan();
  }
  Perform(steps);
}

void ExecuteStream::HandleBatch(absl::Time received) {
  auto message = std::make_shared<ReceivedMessage>(incoming_);
  incoming_.Clear();
  WireExpertBatch batch;
  std::vector<Piece> rows;
  const absl::Status decoded = DecodeExpertBatch(message->pieces(), options_.limits, &batch, &rows);
  if (!decoded.ok() && batch.batch_id == 0) {
    End(ToGrpcStatus(absl::InvalidArgumentError(
        absl::StrCat("a message is no ExpertBatch: ", decoded.message()))));
    return;
  }
  if (!decoded.ok()) {
    executor_->CountRefused(decoded);
    QueueMessage(ErrorMessage(batch.batch_id, decoded));
    return;
  }
  CancelBatches(batch.cancelled_batch_ids);
  if (!batch.IsCancellationOnly()) {
    Submit(std::move(batch), std::move(rows), std::move(message), received);
  }
}

void ExecuteStream::Submit(WireExpertBatch batch, std::vector<Piece> rows,
                           std::shared_ptr<ReceivedMessage> message, absl::Time received) {
  const uint64_t id = batch.batch_id;
  const DType dtype = *batch.row_dtype;
  const size_t row_bytes = static_cast<size_t>(options_.limits.hidden_size) * DTypeSize(dtype);
  size_t held_bytes = batch.row_indices.size() * row_bytes;
  for (const Piece& piece : message->pieces()) held_bytes += piece.size();
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  bool duplicate = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    duplicate = !outstanding_.try_emplace(id, OutstandingBatch{cancelled, held_bytes}).second;
    if (broken_) cancelled->store(true, std::memory_order_relaxed);
  }
  if (duplicate) {
    End(ToGrpcStatus(absl::InvalidArgumentError(
        absl::StrCat("batch_id ", id, " is in flight already; ids are unique in a stream"))));
    return;
  }
  // Rows that were copied live as long as the message that the others lie in.
  auto located = std::make_shared<RowPointers>(LocateRows(rows, batch.num_rows, row_bytes));
  ExpertTask task;
  task.layer = batch.layer;
  task.row_dtype = dtype;
  task.rows = std::move(located->rows);
  task.expert_ids = std::move(batch.expert_ids);
  task.rows_per_expert = std::move(batch.rows_per_expert);
  task.row_indices = std::move(batch.row_indices);
  task.deadline = Deadline(received, batch.timeout_us);
  task.cancelled = cancelled;
  task.stream = options_.stream;
  const absl::Duration decode = absl::Now() - received;
  executor_->Submit(std::move(task), [stream = self_, id, dtype, row_bytes, decode, message,
                                      located](absl::StatusOr<ExpertTaskResult> answer) {
    stream->QueueAnswer(id, AnswerMessage(id, dtype, row_bytes, decode, answer));
  });
}

void ExecuteStream::CancelBatches(const std::vector<uint64_t>& batch_ids) {
  if (batch_ids.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const uint64_t id : batch_ids) {
      const auto found = outstanding_.find(id);
      if (found == outstanding_.end()) continue;
      found->second.cancelled->store(true, std::memory_order_relaxed);
    }
  }
  executor_->AnswerCancelled();
}

void ExecuteStream::AnnounceDraining() {
  WireExpertResult announcement;
  announcement.draining = true;
  QueueMessage(MakeMessage(EncodeExpertResultHeader(announcement, 0), {}, [] {}));
}

void ExecuteStream::QueueMessage(grpc::ByteBuffer message) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ending_) return;
    answers_.push_back(std::move(message));
    steps = Plan();
  }
  Perform(steps);
}

void ExecuteStream::QueueAnswer(uint64_t batch_id, grpc::ByteBuffer answer) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    outstanding_.erase(batch_id);
    answers_.push_back(std::move(answer));
    steps = Plan();
  }
  Perform(steps);
}

void ExecuteStream::End(const grpc::Status& status) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ending_) final_status_ = status;
    ending_ = true;
    steps = Plan();
  }
  Perform(steps);
}

void ExecuteStream::StartDraining() {
  End(ToGrpcStatus(
      absl::UnavailableError("the expert worker is shutting down; use another replica")));
}

void ExecuteStream::OnWriteDone(bool ok) {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    outgoing_.Clear();
    if (!ok) {
      broken_ = true;
      ending_ = true;
    }
    steps = Plan();
  }
  Perform(steps);
}

void ExecuteStream::OnCancel() {
  NextSteps steps;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    broken_ = true;
    if (!ending_) final_status_ = grpc::Status::CANCELLED;
    ending_ = true;
    for (const auto& [id, batch] : outstanding_) {
      batch.cancelled->store(true, std::memory_order_relaxed);
    }
    steps = Plan();
  }
  Perform(steps);
  executor_->AnswerCancelled();
}

void ExecuteStream::OnDone() {
  const std::shared_ptr<ExecuteStream> self = std::move(self_);
  on_done_(this);
}

}  // namespace tramontane
