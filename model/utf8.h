// Well-formedness of UTF-8 (Unicode 15, table 3-7).
#ifndef TRAMONTANE_MODEL_UTF8_H_
#define TRAMONTANE_MODEL_UTF8_H_

#include <cstddef>
#include <string_view>

namespace tramontane {

// The bytes of the longest well-formed prefix of `text`: text.size() where all of it is UTF-8.
size_t ValidUtf8Prefix(std::string_view text);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_UTF8_H_
