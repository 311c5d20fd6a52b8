// HTTP/2 by hand: https://www.rfc-editor.org/rfc/rfc9113, HPACK:
// https://www.rfc-editor.org/rfc/rfc7541.
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/hostile/hostile_bytes.h"

namespace tramontane {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kPadded = 8;

std::string BigEndian(uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(value >> shift));
  }
  return text;
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  return BigEndian(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         BigEndian(stream, 4) + payload;
}

// A length as an HPACK integer of a 7-bit prefix.
std::string Length(size_t length) {
  if (length < 127) return std::string(1, static_cast<char>(length));
  std::string text(1, '\x7f');
  for (length -= 127; length >= 128; length /= 128) text += static_cast<char>(length % 128 + 128);
  return text + static_cast<char>(length);
}

using Headers = std::vector<std::pair<std::string, std::string>>;

// Literals, never indexed and not Huffman-coded.
std::string Encode(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) {
    block += '\x10' + Length(name.size()) + name + Length(value.size()) + value;
  }
  return block;
}

Headers GoodHeaders() {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":path", "/tramontane.v1.Inference/Tokenize"},
          {":authority", "localhost"},
          {"te", "trailers"},
          {"content-type", "application/grpc"}};
}

std::string Begin() { return std::string(kPreface) + Frame(kSettings, 0, 0, ""); }

std::string Call(uint32_t stream, const Headers& headers) {
  // gRPC's frame of a message: not compressed, 3 bytes; field 1 "a".
  const std::string message = std::string(1, '\0') + BigEndian(3, 4) + "\x0a\x01" + "a";
  return Frame(kHeaders, kEndHeaders, stream, Encode(headers)) +
         Frame(kData, kEndStream, stream, message);
}

std::string RandomFrames(Random& random) {
  std::string bytes = Begin();
  for (size_t left = 1 + random() % 20; left > 0; --left) {
    bytes += Frame(static_cast<uint8_t>(random() % 13), static_cast<uint8_t>(random()),
                   static_cast<uint32_t>(random() % 8), RandomBytes(random, Below(random, 200)));
  }
  return bytes;
}

std::string WrongHeaders(Random& random) {
  Headers headers = GoodHeaders();
  switch (random() % 9) {
    case 0:
      headers.back().second = "text/html";
      break;
    case 1:
      headers.pop_back();
      break;
    case 2:
      headers[0].second = "GET";
      break;
    case 3:
      headers.erase(headers.begin() + 2);
      break;
    case 4:
      headers.insert(headers.begin(), headers[2]);
      break;
    case 5:
      headers.emplace_back("UPPER CASE", "x");
      break;
    case 6:
      headers.emplace_back(std::string("nul\0name", 8), std::string("\r\n\0", 3));
      break;
    case 7:
      headers.emplace_back("grpc-timeout", random() % 2 == 0 ? "99999999999999H" : "-1n");
      break;
    default:
      headers.emplace_back("grpc-encoding", "zstd");
      break;
  }
  return Begin() + Call(1, headers);
}

// Header blocks that are too long, or have no end.
std::string LongHeaders(Random& random) {
  std::string bytes = Begin() + Frame(kHeaders, 0, 1, Encode(GoodHeaders()));
  for (size_t left = 1 + random() % 40; left > 0; --left) {
    bytes += Frame(kContinuation, 0, 1, Encode({{"x", std::string(8'000, 'y')}}));
  }
  if (random() % 2 == 0) bytes += Frame(kContinuation, kEndHeaders, 1, "");
  return bytes;
}

std::string ManyStreams(Random& random) {
  std::string bytes = Begin();
  const bool resets = random() % 2 == 0;
  const std::string block = Encode(GoodHeaders());
  for (uint32_t i = 0; i < 1'500; ++i) {
    bytes += Frame(kHeaders, kEndHeaders, 2 * i + 1, block);
    if (resets) bytes += Frame(kRstStream, 0, 2 * i + 1, BigEndian(8, 4));
  }
  return bytes;
}

std::string Flood(Random& random) {
  static const std::vector<std::string> kFrames = {
      Frame(kSettings, 0, 0, ""), Frame(kPing, 0, 0, std::string(8, 'p')), Frame(kData, 0, 1, ""),
      Frame(kWindowUpdate, 0, 0, BigEndian(1, 4)), Frame(kPriority, 0, 1, BigEndian(1, 5))};
  const std::string& frame = kFrames[Below(random, kFrames.size())];
  std::string bytes = Begin() + Frame(kHeaders, kEndHeaders, 1, Encode(GoodHeaders()));
  for (int i = 0; i < 1'000; ++i) bytes += frame;
  return bytes;
}

std::string WrongFlowControl(Random& random) {
  switch (random() % 5) {
    case 0:
      return Begin() + Frame(kSettings, 0, 0, BigEndian(4, 2) + BigEndian(0xffffffff, 4));
    case 1:
      return Begin() + Frame(kSettings, 0, 0, BigEndian(5, 2) + BigEndian(1, 4));
    case 2:
      return Begin() + Frame(kWindowUpdate, 0, 0, BigEndian(0x7fffffff, 4)) +
             Frame(kWindowUpdate, 0, 0, BigEndian(0x7fffffff, 4));
    case 3:
      return Begin() + Frame(kWindowUpdate, 0, 0, BigEndian(0, 4));
    default:
      return Begin() + Frame(kSettings, 0, 0, BigEndian(4, 2) + BigEndian(0, 4)) +
             Call(1, GoodHeaders());
  }
}

// gRPC's own prefix of a message: compressed or not, and how long.
std::string WrongPrefix(Random& random) {
  const std::string head = Begin() + Frame(kHeaders, kEndHeaders, 1, Encode(GoodHeaders()));
  const uint64_t length = random() % 2 == 0 ? 0xffffffff : random() % 100;
  const std::string prefix = static_cast<char>(random() % 3) + BigEndian(length, 4);
  return head + Frame(kData, random() % 2 == 0 ? kEndStream : 0, 1,
                      prefix + RandomBytes(random, Below(random, 50)));
}

std::string WrongFrames(Random& random) {
  switch (random() % 6) {
    case 0:
      return Begin() + Frame(kData, kPadded, 1, "\xff" + std::string(3, 'x'));
    case 1:
      return Begin() + Frame(kPushPromise, kEndHeaders, 1, BigEndian(2, 4));
    case 2:
      return Begin() + Frame(kGoAway, 0, 0, BigEndian(0, 8)) + Call(1, GoodHeaders());
    case 3:
      return Begin() + Call(2, GoodHeaders());  // a server's number
    case 4:
      return Begin() + Call(5, GoodHeaders()) + Call(3, GoodHeaders());
    default:
      return Begin() + BigEndian(0xffffff, 3) + std::string(6, '\0') + std::string(1000, 'z');
  }
}

std::string WrongCompression(Random& random) {
  static const std::vector<std::string> kBlocks = {
      std::string(12, '\xff'),                         // an index that does not end
      "\x3f\xff\xff\xff\x7f",                          // a table of gigabytes
      "\xfe\xfe\xfe",                                  // indices of nothing
      std::string("\x10\xff\xff\xff\xff\x0f\x00", 7),  // a name of gigabytes
      "\x40\x85\xff\xff\xff\xff\xff\x01x"};            // Huffman's end of string
  return Begin() + Frame(kHeaders, kEndHeaders | kEndStream, 1, kBlocks[Below(random, 5)]);
}

std::string OtherProtocol(Random& random) {
  switch (random() % 3) {
    case 0:
      return "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    case 1:  // TLS' hello
      return std::string("\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03", 11) +
             RandomBytes(random, 100);
    default:
      return RandomBytes(random, 1 + Below(random, 2'000));
  }
}

}  // namespace

ConnectionScript DrawHttp2(Random& random) {
  using Draw = std::string (*)(Random&);
  static constexpr Draw kDraws[] = {RandomFrames, WrongHeaders,     WrongFlowControl, WrongPrefix,
                                    WrongFrames,  WrongCompression, OtherProtocol};
  static constexpr Draw kFloods[] = {LongHeaders, ManyStreams, Flood};
  ConnectionScript script;
  const uint64_t kind = random() % 20;
  if (kind < 5) {
    script.bytes = MutateBytes(Begin() + Call(1, GoodHeaders()), random);
  } else if (kind == 5) {
    script.bytes = kFloods[Below(random, std::size(kFloods))](random);
  } else {
    script.bytes = kDraws[Below(random, std::size(kDraws))](random);
  }
  script.hold = random() % 32 == 0;
  if (script.hold) script.bytes.resize(Below(random, script.bytes.size() + 1));
  script.reset = random() % 4 == 0;
  return script;
}

}  // namespace tramontane
