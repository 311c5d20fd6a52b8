#include "proto/serving/tls_server.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "model/check.h"

namespace tramontane {
namespace {

// Probes ask for health without being a peer of the hop.
constexpr char kOpenService[] = "/grpc.health.v1.Health/";

// What gRPC's callbacks use; it lives as long as gRPC's credentials do.
struct ServerState {
  const TlsServerOptions options;
  // What the last handshake was made with. gRPC asks one at a time for a listener.
  std::mutex mutex;
  std::shared_ptr<const Certificates> in_use ABSL_GUARDED_BY(mutex);
};

// Before each handshake.
grpc_ssl_certificate_config_reload_status NextConfig(void* user_data,
                                                     grpc_ssl_server_certificate_config** config) {
  auto* const state = static_cast<ServerState*>(user_data);
  const std::shared_ptr<const Certificates> current = state->options.identity->current();
  const std::lock_guard<std::mutex> lock(state->mutex);
  if (current == state->in_use) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {current->key_pem.c_str(),
                                           current->certificate_pem.c_str()};
  // gRPC insists on CAs, also where it asks for no certificate and so never uses them.
  const std::string& ca =
      state->options.require_client_certificate ? current->ca_pem : current->certificate_pem;
  *config = grpc_ssl_server_certificate_config_create(ca.c_str(), &pair, 1);
  state->in_use = current;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::vector<std::string> NamesOf(const grpc_auth_context* context) {
  std::vector<std::string> names;
  for (const char* property : {GRPC_PEER_DNS_PROPERTY_NAME, GRPC_PEER_URI_PROPERTY_NAME}) {
    grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(context, property);
    while (const grpc_auth_property* const name = grpc_auth_property_iterator_next(&it)) {
      names.emplace_back(name->value, name->value_length);
    }
  }
  return names;
}

bool IsOpenCall(const grpc_metadata* metadata, size_t num_metadata) {
  for (size_t i = 0; i < num_metadata; ++i) {
    if (grpc_slice_str_cmp(metadata[i].key, ":path") != 0) continue;
    const absl::string_view path(
        reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(metadata[i].value)),
        GRPC_SLICE_LENGTH(metadata[i].value));
    return absl::StartsWith(path, kOpenService);
  }
  return false;
}

// Before each call.
void CheckPeer(void* user_data, grpc_auth_context* context, const grpc_metadata* metadata,
               size_t num_metadata, grpc_process_auth_metadata_done_cb done, void* done_data) {
  const TlsServerOptions& options = static_cast<ServerState*>(user_data)->options;
  absl::Status status;
  if (!options.allowed_peers.empty() && !IsOpenCall(metadata, num_metadata)) {
    status = options.allowed_peers.Check(NamesOf(context));
  }
  const std::string message(status.message());
  if (!status.ok()) options.on_refused(message);
  done(done_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.raw_code()),
       status.ok() ? nullptr : message.c_str());
}

// gRPC's C++ API has no credentials whose certificates change, but for an experimental kind that
// does not check what it reads; its C API has.
class ReloadingServerCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingServerCredentials(TlsServerOptions options) {
    auto* const state = new ServerState{std::move(options), {}, nullptr};
    const auto request = state->options.require_client_certificate
                             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                             : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, NextConfig,
                                                                        state));
    TRAMONTANE_CHECK(credentials_ != nullptr);
    grpc_auth_metadata_processor processor = {};
    processor.process = CheckPeer;
    processor.destroy = [](void* owned) { delete static_cast<ServerState*>(owned); };
    processor.state = state;
    grpc_server_credentials_set_auth_metadata_processor(credentials_, processor);
  }
  ~ReloadingServerCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {
    TRAMONTANE_CHECK(false);  // taken
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> CreateTlsServerCredentials(TlsServerOptions options) {
  TRAMONTANE_CHECK(options.identity != nullptr);
  const std::shared_ptr<const Certificates> current = options.identity->current();
  TRAMONTANE_CHECK(!current->certificate_pem.empty());
  TRAMONTANE_CHECK(!options.require_client_certificate || !current->ca_pem.empty());
  return std::make_shared<ReloadingServerCredentials>(std::move(options));
}

}  // namespace tramontane
