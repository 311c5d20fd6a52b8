// What gRPC itself has to say, in the log's form and at a bounded rate.
#ifndef TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_
#define TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace tramontane {

// So many lines in a window, since any peer can cause them. Not thread-safe.
class LineLimit {
 public:
  LineLimit(int max_lines, absl::Duration window) : max_lines_(max_lines), window_(window) {}

  // How many lines were left out before this one, which is to be written; nothing where it is left
  // out too. `now` is a monotonic clock's.
  std::optional<int64_t> Take(absl::Duration now);

 private:
  const int max_lines_;
  const absl::Duration window_;
  std::optional<absl::Duration> begin_;  // of the window
  int lines_ = 0;                        // in it
  int64_t left_out_ = 0;
};

// From now on gRPC's lines (a TLS handshake that failed, say) are ours: level warning, ten in ten
// seconds at most. Not where the environment has GRPC_VERBOSITY: then all are wanted, as they are.
void TakeGrpcLog();

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_
