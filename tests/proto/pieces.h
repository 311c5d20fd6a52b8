// Messages cut into pieces, as a network might hand them over.
#ifndef TRAMONTANE_TESTS_PROTO_PIECES_H_
#define TRAMONTANE_TESTS_PROTO_PIECES_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "proto/wire/piece_reader.h"

namespace tramontane {

// `text` in pieces of `size` bytes (0: in one), each in an allocation of its own, so that the
// address sanitizer sees a step beyond a piece's end.
class Pieces {
 public:
  explicit Pieces(const std::string& text, size_t size = 0) {
    const size_t step = size == 0 ? std::max<size_t>(text.size(), 1) : size;
    for (size_t begin = 0; begin < text.size(); begin += step) {
      const size_t length = std::min(step, text.size() - begin);
      std::unique_ptr<std::byte[]>& copy =
          copies_.emplace_back(std::make_unique<std::byte[]>(length));
      std::transform(text.begin() + static_cast<ptrdiff_t>(begin),
                     text.begin() + static_cast<ptrdiff_t>(begin + length), copy.get(),
                     [](char c) { return static_cast<std::byte>(c); });
      pieces_.emplace_back(copy.get(), length);
    }
  }

  std::span<const Piece> get() const { return pieces_; }

 private:
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::vector<Piece> pieces_;
};

// The bytes of pieces, side by side.
inline std::string Joined(std::span<const Piece> pieces) {
  std::string text;
  for (const Piece& piece : pieces) {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return text;
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_PROTO_PIECES_H_
