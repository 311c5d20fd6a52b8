#include "attention_worker/grpc/grpc_expert_client.h"

#include <thread>
#include <utility>

#include "attention_worker/grpc/expert_exchange.h"
#include "attention_worker/grpc/worker_channel.h"
#include "attention_worker/grpc/worker_description.h"

namespace tramontane {
namespace {

// An ExpertExchange and the thread that keeps its deadlines.
class GrpcExpertClient final : public ExpertClient {
 public:
  // The thread keeps the pump, which must not end in one of its own events.
  GrpcExpertClient(std::shared_ptr<ExpertExchange> exchange, std::shared_ptr<StreamPump> pump)
      : exchange_(std::move(exchange)),
        thread_([exchange = exchange_, pump = std::move(pump)] { exchange->Run(); }) {}

  // Answers what is in flight with UNAVAILABLE, and waits until it is answered, unless it is called
  // from an answer's own callback.
  ~GrpcExpertClient() override {
    exchange_->Close();
    if (ExpertExchange::InCallback()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  const std::string& address() const override { return exchange_->address(); }
  const ExpertWorkerDescription& description() const override { return exchange_->description(); }
  void Execute(ExpertBatch batch, Done done) override {
    exchange_->Execute(std::move(batch), std::move(done));
  }

 private:
  const std::shared_ptr<ExpertExchange> exchange_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<ExpertClient>> ConnectExpertWorker(
    const std::string& address, const ExpertWorkerExpectation& expected,
    const GrpcExpertClientOptions& options) {
  std::shared_ptr<grpc::Channel> channel =
      CreateWorkerChannel(address, options.max_message_bytes, options.tls);
  absl::StatusOr<ExpertWorkerDescription> description =
      FetchDescription(address, channel, options.connect_timeout);
  if (!description.ok()) return description.status();
  const absl::Status agreed = CheckDescription(address, *description, expected);
  if (!agreed.ok()) return agreed;
  std::shared_ptr<StreamPump> pump = options.pump;
  if (pump == nullptr) pump = std::make_shared<StreamPump>();
  std::shared_ptr<ExpertExchange> exchange = ExpertExchange::Open(
      pump.get(), address, *std::move(description), std::move(channel), options.on_disconnect);
  return std::make_shared<GrpcExpertClient>(std::move(exchange), std::move(pump));
}

}  // namespace tramontane
