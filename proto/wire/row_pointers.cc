#include "proto/wire/row_pointers.h"

#include <algorithm>
#include <cstring>

#include "model/check.h"

namespace tramontane {
namespace {

// How many rows do not lie in one piece.
size_t CountStraddling(std::span<const Piece> payload, int64_t num_rows, size_t row_bytes) {
  size_t whole = 0;
  size_t begin = 0;  // of the piece, in the payload
  for (const Piece& piece : payload) {
    const size_t end = begin + piece.size();
    const size_t first = (begin + row_bytes - 1) / row_bytes;
    const size_t last = end / row_bytes;
    if (last > first) whole += last - first;
    begin = end;
  }
  TRAMONTANE_CHECK(begin == static_cast<size_t>(num_rows) * row_bytes);
  return static_cast<size_t>(num_rows) - whole;
}

}  // namespace

RowPointers LocateRows(std::span<const Piece> payload, int64_t num_rows, size_t row_bytes) {
  TRAMONTANE_CHECK(row_bytes > 0 && num_rows >= 0);
  RowPointers result;
  result.rows.reserve(static_cast<size_t>(num_rows));
  const size_t num_straddling = CountStraddling(payload, num_rows, row_bytes);
  if (num_straddling > 0) {
    result.straddling = std::make_unique<std::byte[]>(num_straddling * row_bytes);
  }
  std::byte* copy = result.straddling.get();
  size_t piece = 0;
  size_t offset = 0;  // in payload[piece]
  for (int64_t row = 0; row < num_rows; ++row) {
    while (offset == payload[piece].size()) {
      ++piece;
      offset = 0;
    }
    if (payload[piece].size() - offset >= row_bytes) {
      result.rows.push_back(payload[piece].data() + offset);
      offset += row_bytes;
      continue;
    }
    result.rows.push_back(copy);
    for (size_t left = row_bytes; left > 0;) {
      const size_t step = std::min(left, payload[piece].size() - offset);
      std::memcpy(copy, payload[piece].data() + offset, step);
      copy += step;
      left -= step;
      offset += step;
      if (left > 0) {
        ++piece;
        offset = 0;
      }
    }
  }
  return result;
}

}  // namespace tramontane
