#include "tests/chaos/faulty_worker.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/expert.grpc.pb.h"

namespace tramontane {
namespace {

// In bf16 and in float32 alike.
constexpr char kNanByte = '\xff';

void Damage(Fault fault, v1::ExpertResult& result) {
  std::string& rows = *result.mutable_rows();
  if (rows.empty() || result.num_rows() == 0) return;
  switch (fault) {
    case Fault::kNone:
      return;
    case Fault::kNonFinite:
      rows.assign(rows.size(), kNanByte);
      return;
    case Fault::kShort:
      rows.resize(rows.size() - rows.size() / result.num_rows());
      result.set_num_rows(result.num_rows() - 1);
      return;
    case Fault::kWrongSum:
      rows.assign(rows.size(), '\x3c');
      return;
  }
}

}  // namespace

class FaultyWorker::Service final : public v1::ExpertWorker::Service {
 public:
  explicit Service(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::ExpertWorker::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  grpc::Status Describe(grpc::ServerContext* /*context*/, const v1::DescribeRequest* request,
                        v1::DescribeResponse* response) override {
    grpc::ClientContext context;
    return stub_->Describe(&context, *request, response);
  }

  grpc::Status Execute(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<v1::ExpertResult, v1::ExpertBatch>* stream) override {
    grpc::ClientContext context;
    const auto upstream = stub_->Execute(&context);
    std::thread answers([&] {
      v1::ExpertResult result;
      while (upstream->Read(&result)) {
        Damage(fault, result);
        stream->Write(result);
      }
    });
    v1::ExpertBatch batch;
    while (stream->Read(&batch) && upstream->Write(batch)) {
    }
    upstream->WritesDone();
    answers.join();
    return upstream->Finish();
  }

  std::atomic<Fault> fault{Fault::kNone};
  std::unique_ptr<grpc::Server> server;

 private:
  std::unique_ptr<v1::ExpertWorker::Stub> stub_;
};

FaultyWorker::FaultyWorker() = default;

absl::StatusOr<std::unique_ptr<FaultyWorker>> FaultyWorker::Start(const std::string& address) {
  std::unique_ptr<FaultyWorker> worker(new FaultyWorker());
  worker->service_ = std::make_unique<Service>(address);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(worker->service_.get());
  worker->service_->server = builder.BuildAndStart();
  if (worker->service_->server == nullptr) return absl::UnavailableError("no port to listen on");
  worker->address_ = absl::StrCat("127.0.0.1:", port);
  return worker;
}

FaultyWorker::~FaultyWorker() {
  if (service_ == nullptr || service_->server == nullptr) return;
  service_->server->Shutdown(std::chrono::system_clock::now());
  service_->server->Wait();
}

void FaultyWorker::set_fault(Fault fault) { service_->fault = fault; }

}  // namespace tramontane
