// Rows of a received payload, addressed where the network left them.
#ifndef TRAMONTANE_PROTO_WIRE_ROW_POINTERS_H_
#define TRAMONTANE_PROTO_WIRE_ROW_POINTERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "proto/wire/piece_reader.h"

namespace tramontane {

// Movable; the pointers stay valid.
struct RowPointers {
  std::vector<const std::byte*> rows;       // [num_rows] to row_bytes each, of any alignment
  std::unique_ptr<std::byte[]> straddling;  // the rows that crossed a piece's end, copied
};

// `payload` holds num_rows * row_bytes bytes (CHECKed). Only rows that lie in two or more pieces
// are copied.
RowPointers LocateRows(std::span<const Piece> payload, int64_t num_rows, size_t row_bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_ROW_POINTERS_H_
