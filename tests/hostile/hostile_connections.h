// Connections that say what they were told, and keep or drop the line.
#ifndef TRAMONTANE_TESTS_HOSTILE_HOSTILE_CONNECTIONS_H_
#define TRAMONTANE_TESTS_HOSTILE_HOSTILE_CONNECTIONS_H_

#include <deque>
#include <string>

#include "absl/status/status.h"
#include "tests/hostile/hostile_bytes.h"

namespace tramontane {

// Used by one thread. What is held is dropped with the object.
class HostileConnections {
 public:
  explicit HostileConnections(std::string address);  // 127.0.0.1:PORT
  ~HostileConnections();

  // Says its bytes, hears what comes until it is quiet for a few milliseconds, and goes, unless it
  // holds. UNAVAILABLE where nobody listens.
  absl::Status Say(const ConnectionScript& script);

 private:
  const std::string address_;
  std::deque<int> held_;  // the oldest first; a few dozen
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_HOSTILE_CONNECTIONS_H_
