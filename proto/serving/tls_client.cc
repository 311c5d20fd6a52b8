#include "proto/serving/tls_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "proto/serving/tls_identity.h"

namespace tramontane {
namespace {

std::shared_ptr<grpc::ChannelCredentials> Credentials(const TlsIdentity* identity) {
  if (identity == nullptr) return grpc::InsecureChannelCredentials();
  const std::shared_ptr<const Certificates> current = identity->current();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = current->ca_pem;
  options.pem_private_key = current->key_pem;
  options.pem_cert_chain = current->certificate_pem;
  return grpc::SslCredentials(options);
}

}  // namespace

std::shared_ptr<grpc::Channel> TlsClient::NewChannel(const std::string& address,
                                                     grpc::ChannelArguments arguments) const {
  if (identity != nullptr && !server_name.empty()) {
    arguments.SetSslTargetNameOverride(server_name);
  }
  return grpc::CreateCustomChannel(address, Credentials(identity.get()), arguments);
}

}  // namespace tramontane
