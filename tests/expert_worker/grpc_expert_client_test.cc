// The client against a real worker, and against workers that are wrong, silent or gone.
#include "attention_worker/grpc/grpc_expert_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/time/clock.h"
#include "attention_worker/worker_state.h"
#include "tests/expert_worker/client_batches.h"
#include "tests/expert_worker/scripted_worker.h"
#include "tests/expert_worker/worker_server.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> Bytes(const ExpertBatchResult& result, DType dtype) {
  std::vector<std::byte> bytes;
  for (const std::byte* row : result.row_pointers) {
    bytes.insert(bytes.end(), row, row + kHiddenSize * DTypeSize(dtype));
  }
  return bytes;
}

// A pump in which a thread turns, as a step that waits for answers does.
class TurnedPump {
 public:
  ~TurnedPump() {
    stopping_ = true;
    pump_->Wake();
    thread_.join();
  }
  const std::shared_ptr<StreamPump>& pump() const { return pump_; }

 private:
  const std::shared_ptr<StreamPump> pump_ = std::make_shared<StreamPump>();
  std::atomic<bool> stopping_{false};
  std::thread thread_{[this] {
    while (!stopping_) pump_->Turn(absl::InfiniteFuture(), stopping_);
  }};
};

// With and without a thread that turns in the client's pump.
class GrpcExpertClientTest : public ::testing::TestWithParam<std::tuple<DType, bool>> {
 protected:
  GrpcExpertClientTest() : rows_(MakeRows(2, kHiddenSize, dtype(), 5)) {
    if (std::get<1>(GetParam())) turned_ = std::make_unique<TurnedPump>();
  }

  static DType dtype() { return std::get<0>(GetParam()); }

  ExpertWorkerExpectation Expectation() const {
    return TinyExpectation(dtype(), server_->experts().checkpoint().digest());
  }

  std::shared_ptr<ExpertClient> Connect(const ExpertExecutorOptions& executor_options = {}) {
    server_ = std::make_unique<WorkerServer>(dtype(), executor_options);
    GrpcExpertClientOptions options;
    if (turned_ != nullptr) options.pump = turned_->pump();
    options.on_disconnect = [this](const absl::Status& status) { disconnected_.Set(status); };
    absl::StatusOr<std::shared_ptr<ExpertClient>> client =
        ConnectExpertWorker(server_->address(), Expectation(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  std::vector<std::byte> Expected(const std::vector<std::byte>& rows) const {
    return ComputeDirectly(server_->experts(),
                           MakeTask(server_->experts(), rows, 1, {3, 0}, {{1}, {0, 1}}));
  }

  absl::Status Refusal(const ExpertWorkerExpectation& expected) {
    return ConnectExpertWorker(server_->address(), expected, {}).status();
  }

  const std::vector<std::byte> rows_;
  std::unique_ptr<TurnedPump> turned_;
  std::unique_ptr<WorkerServer> server_;
  Awaited<absl::Status> disconnected_;
};

INSTANTIATE_TEST_SUITE_P(ComputeDTypes, GrpcExpertClientTest,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Bool()),
                         [](const auto& param) {
                           return std::string(DTypeName(std::get<0>(param.param))) +
                                  (std::get<1>(param.param) ? "_turned" : "");
                         });

TEST_P(GrpcExpertClientTest, KnowsWhatTheWorkerSaysOfItself) {
  const auto client = Connect();
  EXPECT_EQ(client->address(), server_->address());
  EXPECT_EQ(client->description().experts.size(), 8u);
  EXPECT_EQ(client->description().backend, server_->backend().name());
  EXPECT_EQ(client->description().max_batch_rows, 65'536);
}

TEST_P(GrpcExpertClientTest, AnswersTheBitsOfADirectComputation) {
  const auto client = Connect();
  Answer answer;
  client->Execute(SomeBatch(rows_, dtype()), Into(answer));
  ASSERT_TRUE(answer.Wait().ok()) << answer.Wait().status();
  EXPECT_EQ(Bytes(*answer.Wait(), dtype()), Expected(rows_));
}

TEST_P(GrpcExpertClientTest, LargeBatchesCrossFramesAndKeepTheirBits) {
  const auto client = Connect();
  constexpr int64_t kRows = 20'000;  // 5 MiB of float32: more than one HTTP/2 frame
  const std::vector<std::byte> rows = MakeRows(kRows, kHiddenSize, dtype(), 9);
  ExpertBatch batch = SomeBatch(rows, dtype());
  ExpertTask task = MakeTask(server_->experts(), rows, 1, {2}, {{}});
  task.row_indices.resize(kRows);
  for (int32_t i = 0; i < kRows; ++i) task.row_indices[static_cast<size_t>(i)] = kRows - 1 - i;
  task.rows_per_expert = {kRows};
  batch.expert_ids = task.expert_ids;
  batch.rows_per_expert = task.rows_per_expert;
  batch.row_indices = task.row_indices;
  Answer answer;
  client->Execute(batch, Into(answer));
  ASSERT_TRUE(answer.Wait().ok()) << answer.Wait().status();
  EXPECT_EQ(Bytes(*answer.Wait(), dtype()), ComputeDirectly(server_->experts(), task));
}

TEST_P(GrpcExpertClientTest, SeveralBatchesInFlightGetTheirOwnAnswers) {
  const auto client = Connect();
  server_->backend().Close();
  std::vector<std::vector<std::byte>> rows;
  for (int i = 0; i < 16; ++i) rows.push_back(MakeRows(2, kHiddenSize, dtype(), i));
  std::vector<Answer> answers(16);
  for (size_t i = 0; i < 16; ++i) {
    client->Execute(SomeBatch(rows[i], dtype()), Into(answers[i]));
  }
  server_->backend().Open();
  for (size_t i = 0; i < 16; ++i) {
    ASSERT_TRUE(answers[i].Wait().ok()) << answers[i].Wait().status();
    EXPECT_EQ(Bytes(*answers[i].Wait(), dtype()), Expected(rows[i])) << i;
  }
}

TEST_P(GrpcExpertClientTest, AWorkerThatIsSilentDoesNotHoldABatchPastItsDeadline) {
  const auto client = Connect();
  server_->backend().Close();
  Answer late, next;
  ExpertBatch batch = SomeBatch(rows_, dtype());
  batch.deadline = absl::Now() + absl::Milliseconds(50);
  client->Execute(batch, Into(late));
  const absl::Status status = late.Wait().status();  // with the gate still closed
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr(client->address()));
  // The late answer comes before the next one, and is dropped.
  client->Execute(SomeBatch(rows_, dtype()), Into(next));
  server_->backend().Open();
  ASSERT_TRUE(next.Wait().ok()) << next.Wait().status();
  EXPECT_EQ(Bytes(*next.Wait(), dtype()), Expected(rows_));
  EXPECT_EQ(late.num_sets(), 1);
}

TEST_P(GrpcExpertClientTest, ADeadlineThatHasPassedSendsNothing) {
  const auto client = Connect();
  Answer answer;
  ExpertBatch batch = SomeBatch(rows_, dtype());
  batch.deadline = absl::Now() - absl::Seconds(1);
  client->Execute(batch, Into(answer));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(GrpcExpertClientTest, PassesTheWorkersErrorsOnWithItsName) {
  const auto client = Connect();
  Answer answer;
  ExpertBatch batch = SomeBatch(rows_, dtype());
  batch.expert_ids[0] = 7;
  client->Execute(batch, Into(answer));
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(answer.Wait().status().message()),
              AllOf(HasSubstr(client->address()), HasSubstr("expert 7 of layer 1")));
}

TEST_P(GrpcExpertClientTest, AFullQueueIsResourceExhausted) {
  ExpertExecutorOptions options;
  options.max_queued_batches = 1;
  const auto first = Connect(options);
  const auto second = ConnectExpertWorker(server_->address(), Expectation(), {});
  ASSERT_TRUE(second.ok()) << second.status();
  server_->backend().Close();
  Answer computed, queued, refused;
  first->Execute(SomeBatch(rows_, dtype()), Into(computed));
  server_->backend().WaitUntilHeld();
  first->Execute(SomeBatch(rows_, dtype()), Into(queued));
  while (server_->executor().queued_batches() != 1) std::this_thread::yield();
  (*second)->Execute(SomeBatch(rows_, dtype()), Into(refused));
  EXPECT_EQ(refused.Wait().status().code(), absl::StatusCode::kResourceExhausted);
  server_->backend().Open();
  EXPECT_TRUE(computed.Wait().ok());
  EXPECT_TRUE(queued.Wait().ok());
}

TEST_P(GrpcExpertClientTest, ALostWorkerEndsEveryBatchOnceAndIsReported) {
  const auto client = Connect();
  server_->backend().Close();
  std::vector<Answer> answers(3);
  for (Answer& answer : answers) client->Execute(SomeBatch(rows_, dtype()), Into(answer));
  server_->backend().WaitUntilHeld();
  std::thread killer([this] { server_->Kill(); });
  for (Answer& answer : answers) {
    EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(answer.Wait().status().message()), HasSubstr(client->address()));
  }
  EXPECT_EQ(disconnected_.Wait().code(), absl::StatusCode::kUnavailable);
  server_->backend().Open();
  killer.join();
  for (Answer& answer : answers) EXPECT_EQ(answer.num_sets(), 1);
  Answer after;
  client->Execute(SomeBatch(rows_, dtype()), Into(after));
  EXPECT_EQ(after.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(disconnected_.num_sets(), 1);
}

TEST_P(GrpcExpertClientTest, EndingTheClientAnswersWhatIsInFlight) {
  auto client = Connect();
  server_->backend().Close();
  Answer answer;
  client->Execute(SomeBatch(rows_, dtype()), Into(answer));
  server_->backend().WaitUntilHeld();
  client.reset();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(disconnected_.has_value());
}

TEST_P(GrpcExpertClientTest, TheLastReferenceMayGoInsideOfAnAnswer) {
  auto client = Connect();
  Awaited<bool> answered;
  ExpertClient* raw = client.get();
  raw->Execute(SomeBatch(rows_, dtype()),
               [&answered, client = std::move(client)](
                   const absl::StatusOr<ExpertBatchResult>& result) mutable {
                 const bool good = result.ok();
                 client.reset();
                 answered.Set(good);
               });
  EXPECT_TRUE(answered.Wait());
}

TEST_P(GrpcExpertClientTest, RefusesAnotherCheckpointNamingBothDigests) {
  Connect();
  ExpertWorkerExpectation expected = Expectation();
  expected.digest = "0123";
  const absl::Status refused = Refusal(expected);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(refused.message()),
      AllOf(HasSubstr("0123"), HasSubstr(Expectation().digest), HasSubstr(server_->address())));
}

TEST_P(GrpcExpertClientTest, RefusesAnotherRowFormatNamingBoth) {
  Connect();
  ExpertWorkerExpectation expected = Expectation();
  expected.row_dtype = dtype() == DType::kF32 ? DType::kBF16 : DType::kF32;
  const absl::Status refused = Refusal(expected);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("f32"), HasSubstr("bf16")));
}

TEST_P(GrpcExpertClientTest, RefusesOtherSizesNamingBoth) {
  Connect();
  ExpertWorkerExpectation expected = Expectation();
  expected.intermediate_size = 97;
  const absl::Status refused = Refusal(expected);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("intermediate_size"), HasSubstr("97"), HasSubstr("96")));
}

TEST_P(GrpcExpertClientTest, ADrainingWorkerIsUnavailable) {
  Connect();
  server_->service().Drain(absl::InfiniteFuture(), absl::ZeroDuration());
  const absl::Status refused = Refusal(Expectation());
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsDraining(refused));
}

TEST_P(GrpcExpertClientTest, ADrainingWorkerSaysSoAndAnswersWhatIsInFlight) {
  std::shared_ptr<ExpertClient> client = Connect();
  server_->backend().Close();
  Answer answer;
  client->Execute(SomeBatch(rows_, dtype()), Into(answer));
  server_->backend().WaitUntilHeld();
  std::thread drain([this] { server_->service().Drain(absl::InfiniteFuture(), absl::Minutes(2)); });
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(IsDraining(disconnected_.Wait()));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30)) << "it was not told, but looked a minute later";
  server_->backend().Open();
  ASSERT_TRUE(answer.Wait().ok()) << answer.Wait().status();
  EXPECT_EQ(Bytes(*answer.Wait(), dtype()), Expected(rows_));
  client.reset();  // as whoever has been told does once nothing is in flight
  drain.join();
}

TEST_P(GrpcExpertClientTest, NobodyThereIsUnavailable) {
  Connect();
  server_->Kill();
  const absl::Status refused = Refusal(Expectation());
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(server_->address()));
}

}  // namespace
}  // namespace tramontane
