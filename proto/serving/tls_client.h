// TLS towards servers.
#ifndef TRAMONTANE_PROTO_SERVING_TLS_CLIENT_H_
#define TRAMONTANE_PROTO_SERVING_TLS_CLIENT_H_

#include <memory>
#include <string>

namespace grpc {
class Channel;
class ChannelArguments;
}  // namespace grpc

namespace tramontane {

class TlsIdentity;

// How this process connects to servers of one kind. A value; copies share the identity.
struct TlsClient {
  // Null: plaintext. With a CA the server's certificate must be signed by it; without one, by a CA
  // of the system. With a certificate, this process shows it where the server asks.
  std::shared_ptr<const TlsIdentity> identity;
  // What the server's certificate must name instead of the host that is connected to; "": the host.
  std::string server_name;

  // A channel to HOST:PORT or unix:PATH, whose host is "localhost". It keeps the certificates of
  // now to its end: one that is to take others must be made anew.
  std::shared_ptr<grpc::Channel> NewChannel(const std::string& address,
                                            grpc::ChannelArguments arguments) const;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TLS_CLIENT_H_
