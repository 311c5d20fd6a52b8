#include "proto/serving/unknown_method.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

// Of a name that a peer has chosen, so much is repeated to it.
constexpr size_t kMaxNameShown = 100;

class UnknownMethodCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit UnknownMethodCall(const std::string& message) {
    Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, message));
  }
  void OnDone() override { delete this; }
};

// "package.Service: Method, Method"; the name alone of a service that is not described.
std::string Describe(const std::string& service) {
  const google::protobuf::ServiceDescriptor* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
  std::string text = service;
  for (int i = 0; descriptor != nullptr && i < descriptor->method_count(); ++i) {
    absl::StrAppend(&text, i == 0 ? ": " : ", ", descriptor->method(i)->name());
  }
  return text;
}

}  // namespace

void UnknownMethodService::SetServices(const std::vector<std::string>& names) {
  methods_.clear();
  for (const std::string& name : names) {
    absl::StrAppend(&methods_, methods_.empty() ? "" : "; ", Describe(name));
  }
}

grpc::ServerGenericBidiReactor* UnknownMethodService::Refuse(const std::string& path) const {
  const std::string shown = path.substr(0, kMaxNameShown);
  return new UnknownMethodCall(absl::StrCat(
      "there is no method ", absl::CHexEscape(shown), shown.size() < path.size() ? "…" : "",
      "; expected /SERVICE/METHOD with one of these: ", methods_));
}

}  // namespace tramontane
