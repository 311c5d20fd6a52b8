// The service as any ordinary protobuf client sees it: through the generated stub.
#include "expert_worker/grpc/expert_service.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "expert_worker/grpc/expert_worker_metrics.h"
#include "tests/expert_worker/worker_server.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

constexpr int kHiddenSize = 64;

std::string AsString(const std::vector<std::byte>& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

class ExpertServiceTest : public ::testing::TestWithParam<DType> {
 protected:
  void Connect(const ExpertExecutorOptions& options = {}, ExpertObserver* observer = nullptr) {
    server_ = std::make_unique<WorkerServer>(GetParam(), options, observer);
    stub_ = v1::ExpertWorker::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    stream_ = stub_->Execute(&context_);
  }

  v1::ExpertBatch SomeBatch(uint64_t id) const {
    v1::ExpertBatch batch;
    batch.set_batch_id(id);
    batch.set_layer(1);
    batch.set_row_format(GetParam() == DType::kF32 ? v1::ROW_FORMAT_F32 : v1::ROW_FORMAT_BF16);
    batch.set_num_rows(2);
    batch.add_expert_ids(3);
    batch.add_expert_ids(0);
    batch.add_rows_per_expert(1);
    batch.add_rows_per_expert(2);
    for (const uint32_t row : {1, 0, 1}) batch.add_row_indices(row);
    batch.set_rows(AsString(MakeRows(2, kHiddenSize, GetParam(), static_cast<int>(id))));
    return batch;
  }

  std::string Expected(uint64_t id) const {
    const auto rows = MakeRows(2, kHiddenSize, GetParam(), static_cast<int>(id));
    return AsString(ComputeDirectly(server_->experts(),
                                    MakeTask(server_->experts(), rows, 1, {3, 0}, {{1}, {0, 1}})));
  }

  v1::ExpertResult Read() {
    v1::ExpertResult result;
    EXPECT_TRUE(stream_->Read(&result));
    return result;
  }

  // Returns once `count` batches wait in the worker's queue.
  void WaitForQueue(int count) {
    while (server_->executor().queued_batches() != count) std::this_thread::yield();
  }

  std::unique_ptr<WorkerServer> server_;
  std::unique_ptr<v1::ExpertWorker::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExpertBatch, v1::ExpertResult>> stream_;
};

INSTANTIATE_TEST_SUITE_P(ComputeDTypes, ExpertServiceTest,
                         ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& param) { return std::string(DTypeName(param.param)); });

TEST_P(ExpertServiceTest, BytesThatAreNoMessageAreInvalidInEveryMethod) {
  Connect();
  const auto channel = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
  for (const std::string method : {"Describe", "Execute"}) {
    CallScript script;
    script.path = "/tramontane.v1.ExpertWorker/" + method;
    script.messages = {"\xff\xff\xff"};
    script.half_close = method == "Describe";  // a stream is ended by the worker
    EXPECT_EQ(EndOfCall(channel, script).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << method;
  }
}

TEST_P(ExpertServiceTest, DescribesItself) {
  Connect();
  grpc::ClientContext context;
  v1::DescribeResponse response;
  ASSERT_TRUE(stub_->Describe(&context, v1::DescribeRequest(), &response).ok());
  EXPECT_EQ(response.digest(), server_->experts().checkpoint().digest());
  EXPECT_EQ(response.row_format(),
            GetParam() == DType::kF32 ? v1::ROW_FORMAT_F32 : v1::ROW_FORMAT_BF16);
  EXPECT_EQ(response.num_layers(), 2u);
  EXPECT_EQ(response.num_experts(), 8u);
  EXPECT_EQ(response.hidden_size(), 64u);
  EXPECT_EQ(response.intermediate_size(), 96u);
  EXPECT_EQ(response.max_queued_batches(), 64u);
  EXPECT_FALSE(response.draining());
  ASSERT_EQ(response.experts_size(), 1);
  EXPECT_EQ(response.experts(0).first_layer(), 0u);
  EXPECT_EQ(response.experts(0).last_layer(), 1u);
  EXPECT_EQ(response.experts(0).first_expert(), 0u);
  EXPECT_EQ(response.experts(0).last_expert(), 3u);
}

TEST_P(ExpertServiceTest, AnswersTheBitsOfADirectComputation) {
  Connect();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  const v1::ExpertResult result = Read();
  EXPECT_EQ(result.batch_id(), 1u);
  EXPECT_EQ(result.status_code(), 0u);
  EXPECT_EQ(result.num_rows(), 3u);
  EXPECT_EQ(result.row_format(), SomeBatch(1).row_format());
  EXPECT_EQ(result.rows(), Expected(1));
}

TEST_P(ExpertServiceTest, TakesManyBatchesAtOnceAndEndsAfterTheLastAnswer) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  for (uint64_t id = 2; id <= 20; ++id) ASSERT_TRUE(stream_->Write(SomeBatch(id)));
  stream_->WritesDone();
  WaitForQueue(19);
  server_->backend().Open();
  std::map<uint64_t, std::string> answers;
  v1::ExpertResult result;
  while (stream_->Read(&result)) answers[result.batch_id()] = result.rows();
  EXPECT_TRUE(stream_->Finish().ok());
  ASSERT_EQ(answers.size(), 20u);
  for (const auto& [id, rows] : answers) EXPECT_EQ(rows, Expected(id)) << id;
}

TEST_P(ExpertServiceTest, ABatchThatContradictsItselfFailsAlone) {
  Connect();
  v1::ExpertBatch bad = SomeBatch(1);
  bad.set_num_rows(7);
  ASSERT_TRUE(stream_->Write(bad));
  const v1::ExpertResult refused = Read();
  EXPECT_EQ(refused.batch_id(), 1u);
  EXPECT_EQ(refused.status_code(), 3u);  // INVALID_ARGUMENT
  EXPECT_THAT(refused.status_message(), HasSubstr("expected num_rows * hidden_size"));
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  EXPECT_EQ(Read().rows(), Expected(2));
}

TEST_P(ExpertServiceTest, AnExpertThatIsNotHostedIsNotFound) {
  Connect();
  v1::ExpertBatch batch = SomeBatch(1);
  batch.set_expert_ids(0, 6);
  ASSERT_TRUE(stream_->Write(batch));
  EXPECT_EQ(Read().status_code(), 5u);
}

TEST_P(ExpertServiceTest, AMessageWithoutIdEndsTheStream) {
  Connect();
  v1::ExpertBatch batch = SomeBatch(1);
  batch.clear_batch_id();
  ASSERT_TRUE(stream_->Write(batch));
  v1::ExpertResult result;
  EXPECT_FALSE(stream_->Read(&result));
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_P(ExpertServiceTest, AnIdInFlightTwiceEndsTheStreamAfterTheAnswers) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().Open();
  EXPECT_EQ(Read().rows(), Expected(1));
  v1::ExpertResult result;
  // The second may have come after the first was answered; then it is a batch like any other.
  if (stream_->Read(&result)) return;
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_P(ExpertServiceTest, AFullQueueIsResourceExhausted) {
  ExpertExecutorOptions options;
  options.max_queued_batches = 1;
  Connect(options);
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  WaitForQueue(1);
  v1::ExpertBatch third = SomeBatch(3);
  // The stream is read no further with two batches outstanding; another stream is refused.
  grpc::ClientContext context;
  const auto other = stub_->Execute(&context);
  ASSERT_TRUE(other->Write(third));
  v1::ExpertResult result;
  ASSERT_TRUE(other->Read(&result));
  EXPECT_EQ(result.status_code(), 8u);
  server_->backend().Open();
  EXPECT_EQ(Read().rows(), Expected(1));
  EXPECT_EQ(Read().rows(), Expected(2));
}

TEST_P(ExpertServiceTest, AStreamThatFillsTheQueueLosesItsNewestBatchToAnother) {
  ExpertExecutorOptions options;
  options.max_queued_batches = 2;
  Connect(options);
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  ASSERT_TRUE(stream_->Write(SomeBatch(3)));
  WaitForQueue(2);
  grpc::ClientContext context;
  const auto other = stub_->Execute(&context);
  ASSERT_TRUE(other->Write(SomeBatch(4)));
  const v1::ExpertResult refused = Read();  // while batch 1 is still computed
  EXPECT_EQ(refused.batch_id(), 3u);
  EXPECT_EQ(refused.status_code(), 8u);
  server_->backend().Open();
  v1::ExpertResult result;
  ASSERT_TRUE(other->Read(&result));
  EXPECT_EQ(result.rows(), Expected(4));
  EXPECT_EQ(Read().rows(), Expected(1));
  EXPECT_EQ(Read().rows(), Expected(2));
}

TEST_P(ExpertServiceTest, BatchesOfSeveralStreamsAreComputedTogether) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  grpc::ClientContext contexts[3];
  std::vector<std::unique_ptr<grpc::ClientReaderWriter<v1::ExpertBatch, v1::ExpertResult>>> streams;
  for (grpc::ClientContext& context : contexts) {
    streams.push_back(stub_->Execute(&context));
    ASSERT_TRUE(streams.back()->Write(SomeBatch(1 + streams.size())));
  }
  WaitForQueue(3);
  server_->backend().Open();
  for (size_t i = 0; i < streams.size(); ++i) {
    v1::ExpertResult result;
    ASSERT_TRUE(streams[i]->Read(&result));
    EXPECT_EQ(result.rows(), Expected(2 + i));
  }
  // First batch 1, then the others together: expert 0 has two rows of each, expert 3 one.
  const std::vector<GatedBackend::Group> together = server_->backend().computations()[1];
  ASSERT_EQ(together.size(), 2u);
  EXPECT_EQ(together[0].num_rows, 6u);
  EXPECT_EQ(together[1].num_rows, 3u);
  EXPECT_EQ(Read().rows(), Expected(1));
}

TEST_P(ExpertServiceTest, ACancelledBatchIsNotComputed) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  v1::ExpertBatch cancellation;
  cancellation.add_cancelled_batch_ids(2);
  ASSERT_TRUE(stream_->Write(cancellation));
  const v1::ExpertResult result = Read();  // while batch 1 is still computed
  EXPECT_EQ(result.batch_id(), 2u);
  EXPECT_EQ(result.status_code(), 1u);
  server_->backend().Open();
  EXPECT_EQ(Read().rows(), Expected(1));
}

TEST_P(ExpertServiceTest, ABatchPastItsTimeoutIsNotComputed) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  v1::ExpertBatch late = SomeBatch(2);
  late.set_timeout_us(1);
  ASSERT_TRUE(stream_->Write(late));
  WaitForQueue(1);
  server_->backend().Open();
  EXPECT_EQ(Read().rows(), Expected(1));
  EXPECT_EQ(Read().status_code(), 4u);
}

TEST_P(ExpertServiceTest, ABrokenStreamFreesItsPlacesInTheQueue) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  ASSERT_TRUE(stream_->Write(SomeBatch(3)));
  WaitForQueue(2);
  context_.TryCancel();
  WaitForQueue(0);
  server_->backend().Open();
  server_->executor().Drain();
  EXPECT_EQ(server_->backend().num_begun(), 1);
}

TEST_P(ExpertServiceTest, DrainAnswersWhatIsQueuedThenEndsTheStream) {
  Connect();
  server_->backend().Close();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  server_->backend().WaitUntilHeld();
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));
  WaitForQueue(1);
  std::thread drain(
      [this] { server_->service().Drain(absl::InfiniteFuture(), absl::ZeroDuration()); });
  v1::DescribeResponse response;
  while (!response.draining()) {
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->Describe(&context, v1::DescribeRequest(), &response).ok());
  }
  EXPECT_TRUE(Read().draining());
  server_->backend().Open();
  EXPECT_EQ(Read().rows(), Expected(1));
  EXPECT_EQ(Read().rows(), Expected(2));
  drain.join();
  v1::ExpertResult result;
  EXPECT_FALSE(stream_->Read(&result));
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_P(ExpertServiceTest, DrainSaysSoAndTakesBatchesUntilThePeerLeaves) {
  Connect();
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  EXPECT_EQ(Read().rows(), Expected(1));
  std::thread drain([this] { server_->service().Drain(absl::InfiniteFuture(), absl::Minutes(2)); });
  const v1::ExpertResult announcement = Read();
  EXPECT_TRUE(announcement.draining());
  EXPECT_EQ(announcement.batch_id(), 0u);
  ASSERT_TRUE(stream_->Write(SomeBatch(2)));  // it was on its way
  EXPECT_EQ(Read().rows(), Expected(2));
  stream_->WritesDone();
  drain.join();
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_P(ExpertServiceTest, CountsRowsAndBatches) {
  auto registry = std::make_shared<prometheus::Registry>();
  const absl::StatusOr<ExpertSet> set = ExpertSet::Parse("0-3", 2, 8);
  ASSERT_TRUE(set.ok());
  ExpertWorkerMetrics metrics(registry, *set);
  Connect({}, &metrics);
  ASSERT_TRUE(stream_->Write(SomeBatch(1)));
  Read();
  server_->executor().Drain();
  const std::string text = prometheus::TextSerializer().Serialize(registry->Collect());
  EXPECT_THAT(text, ::testing::ContainsRegex(
                        "tramontane_expert_worker_rows_total\\{(expert=\"0\",layer=\"1\"|layer="
                        "\"1\",expert=\"0\")\\} 2"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_batches_total{code=\"OK\"} 1"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_compute_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_queue_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_queued_batches 0"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_answer_bytes "));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_merged_batches_count 1"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_merged_rows_sum 3"));
  server_.reset();  // before `metrics`, which its executor calls
}

TEST_P(ExpertServiceTest, CountsBatchesThatItRefusesBeforeTheyAreTasks) {
  auto registry = std::make_shared<prometheus::Registry>();
  const absl::StatusOr<ExpertSet> set = ExpertSet::Parse("0-3", 2, 8);
  ASSERT_TRUE(set.ok());
  ExpertWorkerMetrics metrics(registry, *set);
  Connect({}, &metrics);
  v1::ExpertBatch bad = SomeBatch(1);
  bad.set_num_rows(7);
  ASSERT_TRUE(stream_->Write(bad));
  EXPECT_EQ(Read().status_code(), 3u);
  const std::string text = prometheus::TextSerializer().Serialize(registry->Collect());
  EXPECT_THAT(text,
              HasSubstr("tramontane_expert_worker_batches_total{code=\"INVALID_ARGUMENT\"} 1"));
  EXPECT_THAT(text, HasSubstr("tramontane_expert_worker_batches_total{code=\"OK\"} 0"));
  server_.reset();  // before `metrics`, which its executor calls
}

}  // namespace
}  // namespace tramontane
