// What a peer may write to a socket that keeps to no protocol, or to the letter of one only.
#ifndef TRAMONTANE_TESTS_HOSTILE_HOSTILE_BYTES_H_
#define TRAMONTANE_TESTS_HOSTILE_HOSTILE_BYTES_H_

#include <string>

#include "tests/hostile/mutation.h"

namespace tramontane {

struct ConnectionScript {
  std::string bytes;
  bool hold = false;   // stay connected, and say nothing more
  bool reset = false;  // go without a goodbye
};

// Towards a gRPC port: broken HTTP/2 frames, headers and flow control; floods of streams, resets,
// pings and settings; other protocols.
ConnectionScript DrawHttp2(Random& random);

// Towards a metrics port: broken HTTP/1 requests.
ConnectionScript DrawHttp1(Random& random);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_HOSTILE_HOSTILE_BYTES_H_
