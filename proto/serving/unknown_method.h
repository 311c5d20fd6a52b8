// Answers calls of methods that a server does not have.
#ifndef TRAMONTANE_PROTO_SERVING_UNKNOWN_METHOD_H_
#define TRAMONTANE_PROTO_SERVING_UNKNOWN_METHOD_H_

#include <grpcpp/generic/async_generic_service.h>

#include <string>
#include <vector>

namespace tramontane {

// UNIMPLEMENTED, naming what was called and what the server has. Thread-safe once set up; outlives
// the server that it is registered with.
class UnknownMethodService final : public grpc::CallbackGenericService {
 public:
  // Full names of the server's services, before it takes calls.
  void SetServices(const std::vector<std::string>& names);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return Refuse(context->method());
  }
  // What answers a call of the method `path`, and deletes itself.
  grpc::ServerGenericBidiReactor* Refuse(const std::string& path) const;

 private:
  std::string methods_;  // "tramontane.v1.Inference: Generate, Tokenize; …"
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_UNKNOWN_METHOD_H_
