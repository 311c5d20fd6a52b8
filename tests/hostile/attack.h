// So many hostile messages against one port, and what came of them.
#ifndef TRAMONTANE_TESTS_HOSTILE_ATTACK_H_
#define TRAMONTANE_TESTS_HOSTILE_ATTACK_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/hostile/hostile_method.h"

namespace tramontane {

struct AttackOptions {
  std::string address;                 // 127.0.0.1:PORT
  std::vector<HostileMethod> methods;  // none: a metrics port
  int64_t num_messages = 0;            // a connection that is no gRPC counts as one
  uint64_t seed = 1;
  // Calls at once; few where each takes the place of the one before.
  int max_calls = 16;
};

struct AttackReport {
  int64_t num_messages = 0;
  int64_t num_calls = 0;
  int64_t num_connections = 0;             // beside those of calls
  std::map<std::string, int64_t> endings;  // of calls, by status
  absl::Duration duration;
  std::vector<std::string> faults;  // the first few, a line each
  int64_t num_faults = 0;
};

// Returns when every call has ended; a call that outlives its deadline by half a minute is a fault.
AttackReport Attack(const AttackOptions& options);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_ATTACK_H_
