// The methods of each port, with valid messages to begin from.
#ifndef TRAMONTANE_TESTS_HOSTILE_HOSTILE_METHOD_H_
#define TRAMONTANE_TESTS_HOSTILE_HOSTILE_METHOD_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/hostile/hostile_call.h"
#include "tests/hostile/mutation.h"

namespace tramontane {

struct HostileMethod {
  std::string path;  // "/package.Service/Method"
  std::vector<std::shared_ptr<const google::protobuf::Message>> seeds;
  bool takes_stream = false;  // of requests
  // Goes before the others in most streams, so that they meet more than a refusal; null: nothing.
  std::shared_ptr<const google::protobuf::Message> opening;
  bool may_take_long = false;  // generates, or answers until the client goes
  bool is_of_grpc = false;     // what does not parse is refused in gRPC's own words
};

std::vector<HostileMethod> CoordinatorMethods();
std::vector<HostileMethod> AttentionWorkerMethods();
std::vector<HostileMethod> ExpertWorkerMethods();

// A call of one of them, or of a method that there is not, with damaged messages.
CallScript DrawCall(const std::vector<HostileMethod>& methods, Random& random);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_HOSTILE_METHOD_H_
