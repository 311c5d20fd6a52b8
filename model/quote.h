// Text from outside, made fit for one line of an error message.
#ifndef TRAMONTANE_MODEL_QUOTE_H_
#define TRAMONTANE_MODEL_QUOTE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tramontane {

// `text` in double quotes, bytes that do not print as \xNN, cut after 200 bytes.
std::string Quote(std::string_view text);

// A tensor's shape as error messages spell it: "[4096, 14336]".
std::string ShapeToString(const std::vector<int64_t>& shape);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_QUOTE_H_
