#include "proto/serving/listener.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/completion_queue_tag.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/health.pb.h"
#include "proto/serving/grpc_log.h"
#include "proto/serving/health_board.h"
#include "proto/serving/host_port.h"

namespace tramontane {
namespace {

// A peer that is silent for this long is asked for a sign of life, and dropped without one.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kMaxConcurrentStreams = 1'024;  // of one connection
constexpr int kMaxSentBytes = 64 << 20;
constexpr int kMaxMetadataBytes = 8'192;  // headers of one call
// A connection that has not said hello by then, TLS included, is closed.
constexpr int kHandshakeTimeoutMs = 10'000;
// Of a server. gRPC's reflection alone blocks a thread, for each of its streams and as long as that
// is open; where none is left, one more is answered with RESOURCE_EXHAUSTED.
constexpr int kMaxBlockingThreads = 4;

// Learns the full names of the services that were registered: the API has no other way to ask.
class ServiceNamesPlugin : public grpc::ServerBuilderPlugin {
 public:
  explicit ServiceNamesPlugin(std::vector<std::string>* names) : names_(names) {}
  std::string name() override { return "tramontane_service_names"; }
  void InitServer(grpc::ServerInitializer* /*initializer*/) override {}
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}
  void Finish(grpc::ServerInitializer* initializer) override {
    *names_ = *initializer->GetServiceList();
  }

 private:
  std::vector<std::string>* const names_;
};

class ServiceNamesOption : public grpc::ServerBuilderOption {
 public:
  explicit ServiceNamesOption(std::vector<std::string>* names) : names_(names) {}
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<ServiceNamesPlugin>(names_));
  }

 private:
  std::vector<std::string>* const names_;
};

// What the completion queue wants for the core's notice: nothing is to be done.
class RefusalTag final : public grpc::internal::CompletionQueueTag {
 public:
  bool FinalizeResult(void** /*tag*/, bool* /*status*/) override {
    delete this;
    return false;
  }
};

void SetLimits(grpc::ServerBuilder& builder, const ListenerOptions& options) {
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxBlockingThreads);
  if (options.max_memory_bytes > 0) quota.Resize(options.max_memory_bytes);
  builder.SetResourceQuota(quota);
  // gRPC inflates a message before it looks at its size, and before any handler is asked.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(std::max(options.max_message_bytes, kMaxSentBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.min_ping_interval)));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(
    const ListenerOptions& options, grpc::Service* service,
    const std::function<void(grpc::ServerBuilder&)>& configure) {
  std::unique_ptr<Listener> listener(new Listener);
  const absl::Status started =
      listener->Serve(options, service != nullptr, [&](grpc::ServerBuilder& builder) {
        if (service != nullptr) builder.RegisterService(service);
        builder.RegisterCallbackGenericService(&listener->unknown_methods_);
        if (configure) configure(builder);
      });
  if (!started.ok()) return started;
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::StartLoop(
    const ListenerOptions& options, std::vector<LoopMethod> methods, absl::Duration spin,
    const std::function<void(grpc::ServerBuilder&)>& configure) {
  std::unique_ptr<Listener> listener(new Listener);
  auto health = std::make_unique<HealthBoard>();
  listener->health_board_ = health.get();
  for (LoopMethod& method : health->Methods()) methods.push_back(std::move(method));
  const UnknownMethodService& unknown_methods = listener->unknown_methods_;
  listener->loop_ = std::make_unique<CallLoop>(
      methods, [&unknown_methods](const std::string& path) { return unknown_methods.Refuse(path); },
      spin);
  const absl::Status started = listener->Serve(options, true, [&](grpc::ServerBuilder& builder) {
    listener->loop_->Register(builder);
    builder.SetOption(
        std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(std::move(health)));
    if (configure) configure(builder);
  });
  if (!started.ok()) return started;
  listener->loop_->Start();
  return listener;
}

absl::Status Listener::Serve(const ListenerOptions& options, bool has_service,
                             const std::function<void(grpc::ServerBuilder&)>& add_methods) {
  const absl::Status allowed = CheckPlaintextAddress(
      options.address, "listen",
      options.credentials != nullptr || options.allow_plaintext_beyond_loopback);
  if (!allowed.ok()) return allowed;
  absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> acceptor =
      ConnectionAcceptor::Listen(options.address);
  if (!acceptor.ok()) return acceptor.status();

  TakeGrpcLog();
  // Protobuf would write a line for each string that is not UTF-8. Its sender is told.
  google::protobuf::SetLogHandler(nullptr);
  grpc::EnableDefaultHealthCheckService(true);
  // Reflection can describe the health service only where its messages are linked in.
  static_cast<void>(grpc::health::v1::HealthCheckRequest::descriptor());
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> connections =
      builder.experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
          options.credentials != nullptr ? options.credentials : grpc::InsecureServerCredentials());
  builder.SetOption(std::make_unique<ServiceNamesOption>(&service_names_));
  SetLimits(builder, options);
  add_methods(builder);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("gRPC cannot serve on ", options.address));
  }
  unknown_methods_.SetServices(service_names_);
  if (!has_service) service_names_.clear();
  address_ = (*acceptor)->address();
  SetServing(false);
  acceptor_ = *std::move(acceptor);
  acceptor_->Start([listener_fd = acceptor_->listener_fd(), connections](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = listener_fd;
    connection.fd = fd;
    connections->HandleNewConnection(&connection);
  });
  return absl::OkStatus();
}

Listener::~Listener() {
  if (server_ != nullptr) Shutdown(absl::Now());
}

void Listener::SetServing(bool serving) {
  SetServing("", serving);
  if (!service_names_.empty()) SetServing(service_names_.front(), serving);
}

void Listener::SetServing(const std::string& name, bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  if (health != nullptr) health->SetServingStatus(name, serving);
}

void Listener::RefuseNewCalls() {
  if (server_ == nullptr || refusal_ != nullptr) return;
  SetServing(false);
  acceptor_.reset();
  // grpc::Server has one Shutdown, which blocks; the core may be told as often as one likes.
  refusal_ = std::make_unique<grpc::CompletionQueue>();
  grpc_server_shutdown_and_notify(server_->c_server(), refusal_->cq(), new RefusalTag);
}

void Listener::Shutdown(absl::Time deadline) {
  if (server_ == nullptr) return;
  RefuseNewCalls();
  if (health_board_ != nullptr) health_board_->EndWatches();
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  if (loop_ != nullptr) loop_->Stop();
  refusal_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (refusal_->Next(&tag, &ok)) {
  }
  server_.reset();
}

}  // namespace tramontane
