// Streams that end while one of their requests is handled.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>

#include "attention_worker/grpc/attention_stream.h"
#include "proto/serving/listener.h"

namespace tramontane {
namespace {

// Is busy with a request until the stream has ended, and then takes the stream for its own.
class BusyOwner final : public AttentionStreamOwner {
 public:
  void OnRequest(const std::shared_ptr<AttentionStream>& stream,
                 v1::AttentionRequest /*request*/) override {
    busy.set_value();
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

  std::promise<void> busy, let_go;

 private:
  std::promise<void> ended_;
  std::shared_ptr<AttentionStream> own_;  // of OnRequest's thread, once the stream has ended
};

class BusyService final
    : public v1::AttentionWorker::WithRawCallbackMethod_Run<v1::AttentionWorker::Service> {
 public:
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Run(
      grpc::CallbackServerContext* context) override {
    const std::shared_ptr<AttentionStream> stream =
        AttentionStream::Create(&owner, context->peer());
    stream->StartReading();
    return stream.get();
  }

  BusyOwner owner;
};

TEST(AttentionStreamEndTest, TheOwnerHearsOfAnEndThatCameBeforeItTookTheStream) {
  BusyService service;
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  const auto listener = Listener::Start(options, &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto stub = v1::AttentionWorker::NewStub(
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->Run(&context);
  v1::AttentionRequest open;
  open.mutable_open()->set_coordinator_id(1);
  stream->Write(open);
  service.owner.busy.get_future().wait();
  context.TryCancel();
  EXPECT_EQ(service.owner.let_go.get_future().wait_for(std::chrono::seconds(30)),
            std::future_status::ready);
  stream->Finish();
}

}  // namespace
}  // namespace tramontane
