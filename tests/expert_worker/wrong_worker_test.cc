// The client, and what checks its answers, against workers that answer wrongly. Rows are bf16.
#include "attention_worker/grpc/grpc_expert_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "attention_worker/worker_fault.h"
#include "tests/expert_worker/client_batches.h"
#include "tests/expert_worker/scripted_worker.h"
#include "tests/expert_worker/worker_server.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

v1::DescribeResponse TinyDescription() {
  v1::DescribeResponse description;
  description.set_digest("d");
  description.set_row_format(v1::ROW_FORMAT_BF16);
  description.set_num_layers(2);
  description.set_num_experts(8);
  description.set_hidden_size(kHiddenSize);
  description.set_intermediate_size(96);
  description.set_max_batch_rows(65'536);
  return description;
}

class WrongWorkerTest : public ::testing::Test {
 protected:
  // What one batch ends with, to a dispatch, when the worker answers with what `answer` makes of a
  // right answer.
  absl::Status Outcome(const std::function<void(v1::ExpertResult&)>& answer) {
    ScriptedWorker worker(TinyDescription(),
                          [&answer](grpc::ServerContext&, ScriptedWorker::Stream& stream) {
                            v1::ExpertBatch batch;
                            while (stream.Read(&batch)) {
                              v1::ExpertResult result;
                              result.set_batch_id(batch.batch_id());
                              result.set_row_format(batch.row_format());
                              result.set_num_rows(3);
                              result.set_rows(std::string(3 * kHiddenSize * 2, '\0'));
                              answer(result);
                              stream.Write(result);
                            }
                          });
    address_ = worker.address();
    const auto client =
        ConnectExpertWorker(worker.address(), TinyExpectation(DType::kBF16, "d"), {});
    EXPECT_TRUE(client.ok()) << client.status();
    Answer outcome;
    ExpertBatch batch = SomeBatch(rows_, DType::kBF16);
    batch.deadline = absl::Now() + deadline_;
    (*client)->Execute(batch, Into(outcome));
    const absl::StatusOr<ExpertBatchResult> result = outcome.Wait();
    if (!result.ok()) return result.status();
    PlannedBatch planned;
    planned.slots = {0, 1, 2};
    return CheckAnswer(planned, *result, kHiddenSize, DType::kBF16);
  }

  void ExpectInternal(const std::function<void(v1::ExpertResult&)>& answer, const char* words) {
    const absl::Status status = Outcome(answer);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << words;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(words), HasSubstr(address_)));
  }

  const std::vector<std::byte> rows_ = MakeRows(2, kHiddenSize, DType::kBF16, 5);
  absl::Duration deadline_ = absl::Minutes(1);
  std::string address_;
};

TEST_F(WrongWorkerTest, ARightAnswerIsTaken) {
  EXPECT_TRUE(Outcome([](v1::ExpertResult&) {}).ok());
}

TEST_F(WrongWorkerTest, AnotherNumberOfRowsIsInternal) {
  ExpectInternal([](v1::ExpertResult& result) { result.set_num_rows(2); }, "expected 3 rows");
}

TEST_F(WrongWorkerTest, ShortRowsAreInternal) {
  ExpectInternal([](v1::ExpertResult& result) { result.mutable_rows()->pop_back(); },
                 "in 383 bytes");
}

TEST_F(WrongWorkerTest, AnotherRowFormatIsInternal) {
  ExpectInternal([](v1::ExpertResult& result) { result.set_row_format(v1::ROW_FORMAT_F32); },
                 "does not fit");
}

TEST_F(WrongWorkerTest, ARowThatIsNotFiniteIsInternal) {
  const absl::Status status = Outcome([](v1::ExpertResult& result) {
    const BFloat16 bad = ToBFloat16(std::nanf(""));
    std::memcpy(result.mutable_rows()->data() + kHiddenSize * 2, &bad, 2);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("row 1 of the answer"));
}

TEST_F(WrongWorkerTest, RowsBesideAnErrorAreInternal) {
  ExpectInternal([](v1::ExpertResult& result) { result.set_status_code(8); },
                 "rows beside the error");
}

TEST_F(WrongWorkerTest, AnAnswerToAnotherBatchAnswersNothing) {
  deadline_ = absl::Milliseconds(50);
  EXPECT_EQ(Outcome([](v1::ExpertResult& result) { result.set_batch_id(77); }).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(WrongWorkerTest, AnAnswerWithoutIdBreaksTheStream) {
  EXPECT_EQ(Outcome([](v1::ExpertResult& result) { result.clear_batch_id(); }).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(WrongWorkerTest, ExpertsOutOfRangeInDescribeAreInternal) {
  v1::DescribeResponse description = TinyDescription();
  v1::ExpertRange* range = description.add_experts();
  range->set_last_layer(4'000'000'000u);
  range->set_last_expert(4'000'000'000u);
  ScriptedWorker worker(description, [](grpc::ServerContext&, ScriptedWorker::Stream&) {});
  const absl::Status refused =
      ConnectExpertWorker(worker.address(), TinyExpectation(DType::kBF16, "d"), {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInternal);
}

// A worker that is stuck must not make memory grow with every batch that is given up.
TEST_F(WrongWorkerTest, RowsThatTheWorkerDoesNotTakeAreGivenBack) {
  // It reads nothing, so flow control and the socket's buffers fill up with rows.
  ScriptedWorker worker(TinyDescription(),
                        [](grpc::ServerContext& context, ScriptedWorker::Stream&) {
                          while (!context.IsCancelled()) std::this_thread::yield();
                        });
  auto client = ConnectExpertWorker(worker.address(), TinyExpectation(DType::kBF16, "d"), {});
  ASSERT_TRUE(client.ok()) << client.status();
  constexpr int64_t kRows = 65'536;  // 8 MiB
  const std::vector<std::byte> rows = MakeRows(kRows, kHiddenSize, DType::kBF16, 1);
  std::vector<Answer> answers(8);
  std::vector<std::weak_ptr<const void>> owners;
  for (Answer& answer : answers) {
    ExpertBatch batch = SomeBatch(rows, DType::kBF16);
    owners.push_back(batch.rows_owner);
    batch.deadline = absl::Now() + absl::Milliseconds(100);
    (*client)->Execute(batch, Into(answer));
  }
  for (Answer& answer : answers) {
    EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  const auto num_held = [&owners] {
    return std::count_if(owners.begin(), owners.end(),
                         [](const auto& owner) { return !owner.expired(); });
  };
  // The stream's window takes two, and one more is being written.
  EXPECT_LE(num_held(), 4);
  client->reset();
  while (num_held() > 0) std::this_thread::yield();
}

}  // namespace
}  // namespace tramontane
