// Streams that end while one of their requests is handled.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>

#include "absl/time/time.h"
#include "attention_worker/grpc/attention_stream.h"
#include "proto/attention.grpc.pb.h"
#include "proto/serving/listener.h"

namespace tramontane {
namespace {

// Is busy with a request until the stream has ended, and then takes the stream for its own.
class BusyOwner final : public AttentionStreamOwner {
 public:
  void OnRequest(const std::shared_ptr<AttentionStream>& stream,
                 v1::AttentionRequest /*request*/) override {
    busy.set_value(stream);
    ended_.get_future().wait();
    own_ = stream;
  }
  void OnEnd(const std::shared_ptr<AttentionStream>& stream) override {
    if (own_ == stream) {
      own_.reset();
      let_go.set_value();
    } else {
      ended_.set_value();
    }
  }

  std::promise<std::shared_ptr<AttentionStream>> busy;
  std::promise<void> let_go;

 private:
  std::promise<void> ended_;
  std::shared_ptr<AttentionStream> own_;  // of OnRequest's thread, once the stream has ended
};

// As a worker does that drains.
TEST(AttentionStreamEndTest, TheOwnerHearsOfAnEndThatCameBeforeItTookTheStream) {
  BusyOwner owner;
  const auto run = [&owner](grpc::ServerContext* context) {
    const std::shared_ptr<AttentionStream> stream =
        AttentionStream::Create(&owner, context->peer());
    stream->StartReading();
    return stream.get();
  };
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  const auto listener = Listener::StartLoop(options, {{"/tramontane.v1.AttentionWorker/Run", run}},
                                            absl::ZeroDuration());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto stub = v1::AttentionWorker::NewStub(
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->Run(&context);
  v1::AttentionRequest open;
  open.mutable_open()->set_coordinator_id(1);
  stream->Write(open);
  const grpc::Status end(grpc::StatusCode::UNAVAILABLE, "the end");
  owner.busy.get_future().get()->End(end, /*abandon=*/true);
  EXPECT_EQ(owner.let_go.get_future().wait_for(std::chrono::seconds(30)),
            std::future_status::ready);
  EXPECT_EQ(stream->Finish().error_message(), "the end");
}

}  // namespace
}  // namespace tramontane
