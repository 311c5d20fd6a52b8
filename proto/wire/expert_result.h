// tramontane.v1.ExpertResult <-> bytes, with the rows left where they are. See docs/wire.md.
#ifndef TRAMONTANE_PROTO_WIRE_EXPERT_RESULT_H_
#define TRAMONTANE_PROTO_WIRE_EXPERT_RESULT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/dtype.h"
#include "proto/wire/piece_reader.h"

namespace tramontane {

// The message but its rows; fields as in proto/expert.proto.
struct WireExpertResult {
  uint64_t batch_id = 0;
  absl::Status status;             // status_code and status_message
  std::optional<DType> row_dtype;  // absent: unspecified, or a format that is not known here
  int32_t num_rows = 0;
  uint64_t queue_us = 0;
  uint64_t compute_us = 0;
  uint64_t serialize_us = 0;
  bool draining = false;  // only where batch_id is 0
};

// A longer status_message is cut.
inline constexpr size_t kMaxStatusMessageBytes = 1'024;

// All of the message that comes before the bytes of `rows`; see EncodeExpertBatchHeader. Bytes of
// the status message that are not printable ASCII become '?', so that it is always valid UTF-8.
std::string EncodeExpertResultHeader(const WireExpertResult& result, size_t rows_bytes);

// As DecodeExpertBatch. INVALID_ARGUMENT for bytes that are no such message, for more than
// `max_rows` rows, and for rows beside an error status. That the rows' size is what was asked for
// is the caller's to check: only he knows.
absl::Status DecodeExpertResult(std::span<const Piece> message, size_t max_rows,
                                WireExpertResult* result, std::vector<Piece>* rows);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_EXPERT_RESULT_H_
