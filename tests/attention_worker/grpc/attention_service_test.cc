// What the service says of itself, and to peers that do not keep to the protocol.
#include "attention_worker/grpc/attention_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>

#include "attention_worker/grpc/attention_messages.h"
#include "tests/attention_worker/grpc/attention_server.h"
#include "tests/fakes/fake_attention_client.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

class AttentionServiceTest : public testing::Test {
 protected:
  std::unique_ptr<v1::AttentionWorker::Stub> NewStub() {
    return v1::AttentionWorker::NewStub(
        grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials()));
  }

  // The status with which a stream ends that sends `requests` and reads to its end.
  grpc::Status EndOf(const std::vector<v1::AttentionRequest>& requests) {
    const auto stub = NewStub();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    auto stream = stub->Run(&context);
    for (const v1::AttentionRequest& request : requests) stream->Write(request);
    stream->WritesDone();
    v1::AttentionAnswer answer;
    while (stream->Read(&answer)) answers_.push_back(answer);
    return stream->Finish();
  }

  static v1::AttentionRequest Open(uint64_t request_id, uint64_t coordinator_id) {
    v1::AttentionRequest request;
    request.set_request_id(request_id);
    request.mutable_open()->set_coordinator_id(coordinator_id);
    return request;
  }
  static v1::AttentionRequest Release(uint64_t request_id) {
    v1::AttentionRequest request;
    request.set_request_id(request_id);
    request.mutable_release_sequence()->set_sequence_id(5);
    return request;
  }

  static v1::AttentionRequest Add(uint64_t request_id, uint64_t sequence_id) {
    v1::AttentionRequest request;
    request.set_request_id(request_id);
    SequenceSpec spec;
    spec.id = sequence_id;
    spec.max_total_tokens = 8;
    spec.token_ids = {5, 6, 7};
    ToMessage(spec, request.mutable_add_sequence());
    return request;
  }

  FakeAttentionClient worker_;
  AttentionServer server_{&worker_, FakeIdentity()};
  std::vector<v1::AttentionAnswer> answers_;
};

TEST_F(AttentionServiceTest, DescribesTheModelTheCacheAndWhatIsMissing) {
  server_.service().SetMissingExperts("layer 1: expert 2");
  const auto stub = NewStub();
  grpc::ClientContext context;
  v1::DescribeAttentionWorkerResponse description;
  ASSERT_TRUE(stub->Describe(&context, v1::DescribeAttentionWorkerRequest(), &description).ok());
  EXPECT_EQ(description.model_name(), "fake");
  EXPECT_EQ(description.digest(), "d1");
  EXPECT_EQ(description.compute_dtype(), "f32");
  EXPECT_EQ(description.weight_format(), "f32");
  EXPECT_EQ(description.backend(), "none");
  EXPECT_EQ(description.num_layers(), 2u);
  EXPECT_EQ(description.vocab_size(), 256u);
  EXPECT_EQ(description.context_length(), 1024u);
  EXPECT_EQ(description.kv_block_size(), 16u);
  EXPECT_EQ(description.num_kv_blocks(), 64u);
  EXPECT_EQ(description.max_step_tokens(), 512u);
  EXPECT_EQ(description.state().missing_experts(), "layer 1: expert 2");
}

TEST_F(AttentionServiceTest, BytesThatAreNoMessageAreInvalidInEveryMethod) {
  const auto channel = grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials());
  CallScript describe;
  describe.path = "/tramontane.v1.AttentionWorker/Describe";
  describe.messages = {"\xff\xff\xff"};
  EXPECT_EQ(EndOfCall(channel, describe).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  CallScript run;
  run.path = "/tramontane.v1.AttentionWorker/Run";
  run.messages = {Open(1, 9).SerializeAsString(), "\xff\xff\xff", Release(2).SerializeAsString()};
  run.half_close = false;  // the server ends it
  const grpc::Status status = EndOfCall(channel, run);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("are no tramontane.v1.AttentionRequest"));
  // The worker is free again.
  EXPECT_TRUE(EndOf({Open(1, 10)}).ok());
}

TEST_F(AttentionServiceTest, AStreamThatClosesItsSideEndsWellAfterItsAnswers) {
  EXPECT_TRUE(EndOf({Open(1, 9), Release(2)}).ok());
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].request_id(), 1u);
  EXPECT_TRUE(answers_[0].has_state());
  EXPECT_EQ(answers_[1].request_id(), 2u);
  EXPECT_EQ(answers_[1].kv_cache_usage().num_blocks(), 64u);
}

TEST_F(AttentionServiceTest, TheFirstMessageMustBeOpenAndOnce) {
  const grpc::Status without = EndOf({Release(1)});
  EXPECT_EQ(without.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(without.error_message(), HasSubstr("open"));
  EXPECT_EQ(EndOf({Open(1, 9), Open(2, 9)}).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(AttentionServiceTest, IdsOfZeroAreRefused) {
  EXPECT_EQ(EndOf({Open(1, 0)}).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(EndOf({Open(0, 9)}).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(EndOf({Open(1, 9), Release(0)}).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(AttentionServiceTest, ARequestThatIsNoneIsAnsweredAndTheStreamLives) {
  v1::AttentionRequest unknown;
  unknown.set_request_id(2);
  EXPECT_TRUE(EndOf({Open(1, 9), unknown, Release(3)}).ok());
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[1].status_code(), static_cast<uint32_t>(grpc::INVALID_ARGUMENT));
  EXPECT_EQ(answers_[2].status_code(), 0u);
}

TEST_F(AttentionServiceTest, ACoordinatorThatComesBackAtOnceMayUseItsSequencesIdsAgain) {
  const auto stub = NewStub();
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext context;
    auto stream = stub->Run(&context);
    stream->Write(Open(1, 9));
    stream->Write(Add(2, 5));
    v1::AttentionAnswer answer;
    ASSERT_TRUE(stream->Read(&answer));
    ASSERT_TRUE(stream->Read(&answer));
    ASSERT_EQ(answer.status_code(), 0u) << i << ": " << answer.status_message();
    context.TryCancel();
    stream->Finish();
  }
}

}  // namespace
}  // namespace tramontane
