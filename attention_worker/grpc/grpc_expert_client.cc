#include "attention_worker/grpc/grpc_expert_client.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "attention_worker/grpc/expert_exchange.h"
#include "attention_worker/grpc/worker_description.h"
#include "proto/wire/transport.h"

namespace tramontane {
namespace {

// A worker that is silent is asked for a sign of life; without one its connection is dead.
constexpr int kKeepaliveTimeMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;

std::shared_ptr<grpc::Channel> CreateExpertChannel(const std::string& address,
                                                   const GrpcExpertClientOptions& options) {
  const int max_message = static_cast<int>(
      std::min<int64_t>(options.max_message_bytes, std::numeric_limits<int>::max()));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(max_message);
  arguments.SetMaxSendMessageSize(max_message);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC's own retries would keep the rows of what was sent; the dispatcher retries better.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A connection of this client's own, which ends with it; never through an HTTP proxy of the
  // environment.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// An ExpertExchange and the thread that keeps its deadlines.
class GrpcExpertClient final : public ExpertClient {
 public:
  explicit GrpcExpertClient(std::shared_ptr<ExpertExchange> exchange)
      : exchange_(std::move(exchange)), thread_([exchange = exchange_] { exchange->Run(); }) {}

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
  std::shared_ptr<grpc::Channel> channel = CreateExpertChannel(address, options);
  absl::StatusOr<ExpertWorkerDescription> description =
      FetchDescription(address, channel, options.connect_timeout);
  if (!description.ok()) return description.status();
  const absl::Status agreed = CheckDescription(address, *description, expected);
  if (!agreed.ok()) return agreed;
  std::shared_ptr<ExpertExchange> exchange = ExpertExchange::Open(
      address, *std::move(description), std::move(channel), options.on_disconnect);
  return std::make_shared<GrpcExpertClient>(std::move(exchange));
}

}  // namespace tramontane
