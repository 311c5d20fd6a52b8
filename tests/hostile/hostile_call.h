// One call by a peer that keeps to gRPC, and to nothing else.
#ifndef TRAMONTANE_TESTS_HOSTILE_HOSTILE_CALL_H_
#define TRAMONTANE_TESTS_HOSTILE_HOSTILE_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tramontane {

struct CallScript {
  std::string path;
  std::vector<std::string> messages;
  bool compressed = false;  // by gzip
  bool half_close = true;   // else the call is left open until it ends otherwise
  int cancel_after = -1;    // answers; 0: when all is sent; -1: never
  absl::Duration deadline = absl::Seconds(20);

  // What must come of it.
  bool must_be_invalid = false;        // INVALID_ARGUMENT
  bool must_be_unimplemented = false;  // UNIMPLEMENTED
  bool may_outlive_deadline = false;   // DEADLINE_EXCEEDED is no hang
  bool may_be_internal = false;        // INTERNAL is how gRPC itself refuses what does not parse
};

// Calls back once, from gRPC's thread, with how the call ended.
void StartCall(const std::shared_ptr<grpc::Channel>& channel, const CallScript& script,
               std::function<void(const grpc::Status& status)> done);

// Makes it and waits for its end.
grpc::Status EndOfCall(const std::shared_ptr<grpc::Channel>& channel, const CallScript& script);

// Whether a call that was made so may end so. Only our own going explains CANCELLED and
// DEADLINE_EXCEEDED; nothing explains UNKNOWN, INTERNAL and UNAVAILABLE.
bool MayEnd(const CallScript& script, const grpc::Status& status);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_HOSTILE_CALL_H_
