#include "tests/expert_worker/scripted_worker.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/time/clock.h"

namespace tramontane {

ScriptedWorker::ScriptedWorker(v1::DescribeResponse description,
                               std::function<void(grpc::ServerContext&, Stream&)> run)
    : description_(std::move(description)), run_(std::move(run)) {
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Start(options, this);
  EXPECT_TRUE(listener.ok()) << listener.status();
  listener_ = *std::move(listener);
}

ScriptedWorker::~ScriptedWorker() { listener_->Shutdown(absl::Now()); }

grpc::Status ScriptedWorker::Describe(grpc::ServerContext* /*context*/,
                                      const v1::DescribeRequest* /*request*/,
                                      v1::DescribeResponse* response) {
  *response = description_;
  return grpc::Status::OK;
}

grpc::Status ScriptedWorker::Execute(grpc::ServerContext* context, Stream* stream) {
  run_(*context, *stream);
  return grpc::Status::OK;
}

}  // namespace tramontane
