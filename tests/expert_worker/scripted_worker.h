// A worker that says what the test tells it to, right or wrong.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_SCRIPTED_WORKER_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_SCRIPTED_WORKER_H_

#include <functional>
#include <memory>
#include <string>

#include "proto/expert.grpc.pb.h"
#include "proto/serving/listener.h"

namespace tramontane {

class ScriptedWorker final : public v1::ExpertWorker::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ExpertResult, v1::ExpertBatch>;

  // `run` is the whole of one Execute stream.
  ScriptedWorker(v1::DescribeResponse description,
                 std::function<void(grpc::ServerContext&, Stream&)> run);
  ~ScriptedWorker() override;

  const std::string& address() const { return listener_->address(); }

  grpc::Status Describe(grpc::ServerContext* context, const v1::DescribeRequest* request,
                        v1::DescribeResponse* response) override;
  grpc::Status Execute(grpc::ServerContext* context, Stream* stream) override;

 private:
  const v1::DescribeResponse description_;
  const std::function<void(grpc::ServerContext&, Stream&)> run_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_SCRIPTED_WORKER_H_
