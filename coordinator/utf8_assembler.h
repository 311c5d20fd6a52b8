// UTF-8 as it arrives in pieces: whole characters out, none split, none lost.
#ifndef TRAMONTANE_COORDINATOR_UTF8_ASSEMBLER_H_
#define TRAMONTANE_COORDINATOR_UTF8_ASSEMBLER_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tramontane {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What a string of bytes begins with, by table 3-7 of the Unicode standard.
struct Utf8Prefix {
  enum Kind {
    kCharacter,   // `length` bytes are one character
    kInvalid,     // `length` bytes can be part of no character (a maximal subpart)
    kIncomplete,  // all `length` bytes of the string; more may make them a character
  };
  Kind kind = kInvalid;
  size_t length = 0;
};
Utf8Prefix ParseUtf8Prefix(std::string_view bytes);  // `bytes` not empty

// Each maximal subpart that is no character becomes U+FFFD, as Python's errors="replace" does.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// Cuts a byte stream into whole characters. Thread-compatible.
class Utf8Assembler {
 public:
  // The characters that `bytes` complete. An incomplete character is held back (at most 3 bytes);
  // bytes that can be part of none become U+FFFD.
  std::string Feed(std::string_view bytes);
  // What is held back, as U+FFFD; empty where nothing is.
  std::string Finish();

 private:
  std::string held_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_UTF8_ASSEMBLER_H_
