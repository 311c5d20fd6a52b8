// The server's end of a stream against a call that does what gRPC does rarely.
#include "attention_worker/grpc/attention_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>

#include "proto/wire/call_message.h"
#include "tests/fakes/fake_bidi_call.h"

namespace tramontane {
namespace {

constexpr int kMaxUnanswered = 16;  // of a stream, then it is read no further

class IgnoringOwner final : public AttentionStreamOwner {
 public:
  void OnRequest(const std::shared_ptr<AttentionStream>& /*stream*/,
                 v1::AttentionRequest /*request*/) override {
    ++num_requests;
  }
  void OnEnd(const std::shared_ptr<AttentionStream>& /*stream*/) override {}

  int num_requests = 0;
};

grpc::ByteBuffer Request(uint64_t request_id) {
  v1::AttentionRequest request;
  request.set_request_id(request_id);
  return SerializeMessage(request);
}

// Two threads start a read each: one has not come back from gRPC when its read is long over.
TEST(AttentionStreamTest, DoesNotFinishBetweenTheWriteAndTheReadOfAnAnswer) {
  IgnoringOwner owner;
  FakeBidiCall call;
  const std::shared_ptr<AttentionStream> stream = AttentionStream::Create(&owner, "peer");
  stream->StartReading();
  call.Bind(stream.get());
  for (uint64_t id = 1; id < kMaxUnanswered - 1; ++id) call.CompleteRead(Request(id));
  call.HoldNextRead();
  std::thread first([&call] { call.CompleteRead(Request(kMaxUnanswered - 1)); });
  call.WaitForHeldRead();
  call.CompleteRead(Request(kMaxUnanswered));
  ASSERT_EQ(owner.num_requests, kMaxUnanswered);
  ASSERT_EQ(call.num_reads(), kMaxUnanswered);
  call.HoldNextWrite();
  std::thread answers([&stream] {
    v1::AttentionAnswer answer;
    answer.set_request_id(1);
    stream->Answer(std::move(answer));
  });
  call.WaitForHeldWrite();  // it makes room for another read
  call.LetReadGo();
  first.join();
  stream->OnCancel();
  stream->OnWriteDone(false);
  EXPECT_FALSE(call.status().has_value()) << "a read has yet to start";
  call.LetWriteGo();
  answers.join();
  EXPECT_EQ(call.num_reads(), kMaxUnanswered + 1);
  EXPECT_TRUE(call.status().has_value());
  EXPECT_EQ(call.num_started_after_finish(), 0);
  stream->OnDone();
}

}  // namespace
}  // namespace tramontane
