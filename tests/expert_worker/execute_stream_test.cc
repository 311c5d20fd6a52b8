// The worker's end of a stream against a call that does what gRPC does rarely.
#include "expert_worker/grpc/execute_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/expert.pb.h"
#include "proto/wire/call_message.h"
#include "tests/expert_worker/fixtures.h"
#include "tests/expert_worker/gated_backend.h"
#include "tests/expert_worker/one_row_batch.h"
#include "tests/fakes/fake_bidi_call.h"

namespace tramontane {
namespace {

class ExecuteStreamTest : public ::testing::Test {
 protected:
  ExecuteStreamTest() : backend_(DType::kF32), experts_(LoadGolden("tiny_f32", "0-3", &backend_)) {
    executor_options_.max_inline_rows = 0;  // answers come from the executor's thread
    options_.limits.hidden_size = kHiddenSize;
    options_.limits.max_pairs = 1'024;
    options_.limits.max_groups = 8;
  }

  // A stream whose first read has started.
  void Start() {
    executor_ = std::make_unique<ExpertExecutor>(experts_.get(), nullptr, executor_options_);
    stream_ = ExecuteStream::Start(executor_.get(), options_, [](ExecuteStream*) {});
    call_.Bind(stream_.get());
    ASSERT_EQ(call_.num_reads(), 1);
  }

  // After gRPC's last word. The executor answers what it has first.
  void TearDown() override {
    executor_.reset();
    stream_->OnDone();
  }

  static grpc::ByteBuffer Batch(uint64_t id, int num_pairs) {
    return SerializeMessage(OneRowBatch(id, num_pairs));
  }

  static grpc::ByteBuffer Cancellation(uint64_t id) {
    v1::ExpertBatch cancellation;
    cancellation.add_cancelled_batch_ids(id);
    return SerializeMessage(cancellation);
  }

  GatedBackend backend_;
  std::unique_ptr<HostedExperts> experts_;
  ExpertExecutorOptions executor_options_;
  ExecuteStreamOptions options_;
  FakeBidiCall call_;
  std::unique_ptr<ExpertExecutor> executor_;
  std::shared_ptr<ExecuteStream> stream_;
};

// Two threads start a read each: one has not come back from gRPC when its read is long over.
TEST_F(ExecuteStreamTest, DoesNotFinishBetweenTheWriteAndTheReadOfAnAnswer) {
  options_.max_outstanding_batches = 1;
  Start();
  call_.HoldNextRead();
  std::thread first([this] { call_.CompleteRead(Cancellation(7)); });
  call_.WaitForHeldRead();
  backend_.Close();
  call_.CompleteRead(Batch(1, 1));  // the limit: it is read no further
  call_.HoldNextWrite();
  backend_.Open();
  call_.WaitForHeldWrite();  // of the answer, which makes room for another read
  call_.LetReadGo();
  first.join();
  stream_->OnCancel();
  stream_->OnWriteDone(false);
  EXPECT_FALSE(call_.status().has_value()) << "a read has yet to start";
  call_.LetWriteGo();
  executor_->Drain();  // until the answer's thread is through
  EXPECT_EQ(call_.num_reads(), 3);
  EXPECT_TRUE(call_.status().has_value());
  EXPECT_EQ(call_.num_started_after_finish(), 0);
}

TEST_F(ExecuteStreamTest, ReadsNoFurtherWhileItHoldsTooManyBytes) {
  constexpr int kPairs = 100;
  constexpr size_t kAnswerBytes = kPairs * kHiddenSize * sizeof(float);
  options_.max_held_bytes = 3 * kAnswerBytes;
  Start();
  backend_.Close();
  // A batch counts before it is computed: two, and their messages, are less than three answers.
  call_.CompleteRead(Batch(1, kPairs));
  call_.CompleteRead(Batch(2, kPairs));
  call_.CompleteRead(Batch(3, kPairs));
  EXPECT_EQ(call_.num_reads(), 3);
  backend_.Open();
  executor_->Drain();
  // One answer is being written, two wait; with what frames them they are more than three.
  EXPECT_EQ(call_.num_reads(), 3);
  stream_->OnWriteDone(true);
  EXPECT_EQ(call_.num_reads(), 4);
}

}  // namespace
}  // namespace tramontane
