#include <vector>

#include "tests/hostile/hostile_bytes.h"

namespace tramontane {
namespace {

std::string Request(const std::string& line, const std::string& headers) {
  return line + "\r\nHost: localhost\r\n" + headers + "\r\n";
}

std::string DrawWrong(Random& random) {
  static const std::string kGood = "GET /metrics HTTP/1.1";
  switch (random() % 12) {
    case 0:
      return Request("POST /metrics HTTP/1.1", "Content-Length: 99999999999999999999\r\n") + "x";
    case 1:
      return Request("POST /metrics HTTP/1.1", "Transfer-Encoding: chunked\r\n") +
             "ffffffffffffffff\r\nx\r\n";
    case 2:
      return Request(kGood, "X: " + std::string(Below(random, 100'000), 'y') + "\r\n");
    case 3: {
      std::string headers;
      for (size_t i = Below(random, 300); i > 0; --i)
        headers += "X-" + std::to_string(i) + ": 1\r\n";
      return Request(kGood, headers);
    }
    case 4:
      return Request("GET /" + std::string(Below(random, 50'000), 'a') + " HTTP/1.1", "");
    case 5:
      return Request("GET /../../../../etc/passwd HTTP/1.0", "");
    case 6:
      return Request("GET /%00%2e%2e%2f%ff HTTP/1.1", "");
    case 7:
      return Request("GET /metrics HTTP/9.9", "");
    case 8: {
      std::string many;
      for (size_t i = 1 + random() % 10; i > 0; --i) many += Request(kGood, "");
      return many;
    }
    case 9:
      return Request(kGood, "Accept-Encoding: gzip, \x01\x80\xff\r\nRange: bytes=5-1,-,9\r\n");
    case 10:
      return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + RandomBytes(random, 60);
    default:
      return RandomBytes(random, 1 + Below(random, 2'000));
  }
}

}  // namespace

ConnectionScript DrawHttp1(Random& random) {
  ConnectionScript script;
  script.bytes = random() % 2 == 0
                     ? MutateBytes(Request("GET /metrics HTTP/1.1", "Accept: */*\r\n"), random)
                     : DrawWrong(random);
  script.hold = random() % 256 == 0;
  if (script.hold) script.bytes.resize(Below(random, script.bytes.size() + 1));
  script.reset = random() % 4 == 0;
  return script;
}

}  // namespace tramontane
